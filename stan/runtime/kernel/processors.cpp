// Which of the compiled sums this processor can run.
#include <cstdlib>
#include <stdexcept>
#include <string>

#include "selection_sums.hpp"

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

const SelectionSums& choose() {
#ifdef PYROBMA_X86
  __builtin_cpu_init();
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") &&
                      __builtin_cpu_supports("avx512dq") &&
                      __builtin_cpu_supports("avx512vl") &&
                      __builtin_cpu_supports("avx512bw");
  const Choice choices[] = {{&selection_sums_avx512, avx512},
                            {&selection_sums_avx2, avx2},
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

// What the library computes selection with; libraries without the kernel lack this.
extern "C" __attribute__((visibility("default"))) const char* bs_x_pyrobma_kernel() {
  return pyrobma::selection_sums().name;
}
