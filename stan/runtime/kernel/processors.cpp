// Which of the compiled sums this processor can run.
#include <cstdlib>
#include <exception>
#include <stdexcept>
#include <string>

#include "selection_sums.hpp"

#ifdef PYROBMA_X86
#include <cpuid.h>
#endif

namespace pyrobma {

extern const SelectionSums selection_sums_generic;
#ifdef PYROBMA_X86
extern const SelectionSums selection_sums_avx2;
extern const SelectionSums selection_sums_avx512;
#endif

namespace {

struct Choice {
  const SelectionSums* sums;
  bool runs;
};

#ifdef PYROBMA_X86
struct Features {
  bool avx2;
  bool avx512;
};

// Asks the processor, and whether the operating system keeps the registers of that
// width. Not __builtin_cpu_supports, which is always false with zig's compiler.
Features features() {
  unsigned a, b, c, d;
  if (!__get_cpuid(1, &a, &b, &c, &d)) return {false, false};
  const bool kept = c & bit_OSXSAVE;
  const bool fused = c & bit_FMA;
  if (!kept || !fused || !__get_cpuid_count(7, 0, &a, &b, &c, &d)) return {false, false};
  unsigned low, high;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  const unsigned wide = 0x06, widest = 0xe6;
  const unsigned needed = bit_AVX512F | bit_AVX512DQ | bit_AVX512VL | bit_AVX512BW;
  const bool avx2 = (b & bit_AVX2) && (low & wide) == wide;
  return {avx2, avx2 && (b & needed) == needed && (low & widest) == widest};
}
#endif

const SelectionSums& choose() {
#ifdef PYROBMA_X86
  const Features runs = features();
  const Choice choices[] = {{&selection_sums_avx512, runs.avx512},
                            {&selection_sums_avx2, runs.avx2},
                            {&selection_sums_generic, true}};
#else
  const Choice choices[] = {{&selection_sums_generic, true}};
#endif
  // Draws are the same to the last bit only between processors of one kind.
  const char* asked = std::getenv("PYROBMA_KERNEL");
  std::string known;
  for (const Choice& choice : choices) {
    if (!choice.runs) continue;
    if (asked == nullptr || *asked == '\0' || choice.sums->name == std::string(asked)) {
      return *choice.sums;
    }
    known += std::string(known.empty() ? "" : ", ") + choice.sums->name;
  }
  throw std::runtime_error("PYROBMA_KERNEL: this processor runs " + known + "; got '" +
                           asked + "'");
}

}  // namespace

const SelectionSums& selection_sums() {
  static const SelectionSums& chosen = choose();
  return chosen;
}

}  // namespace pyrobma

// What the library computes selection with, NULL if PYROBMA_KERNEL asks for what this
// processor cannot run; libraries without the kernel lack this.
extern "C" __attribute__((visibility("default"))) const char* bs_x_pyrobma_kernel() {
  try {
    return pyrobma::selection_sums().name;
  } catch (const std::exception&) {
    return nullptr;  // no exception may leave a C function
  }
}
