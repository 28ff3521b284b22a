// Stan's headers reference three functions of Intel TBB, for a scheduler observer and
// for the profiling map. A program that runs one chain on one thread needs neither, so
// defining them here lets executables and libraries do without libtbb.

#include <tbb/task_scheduler_observer.h>
#include <tbb/tbb_allocator.h>

#include <cstdlib>
#include <new>

namespace tbb {
namespace internal {

void task_scheduler_observer_v3::observe(bool) {}

void* allocate_via_handler_v3(size_t size) {
  if (void* memory = std::malloc(size)) return memory;
  throw std::bad_alloc();
}

void deallocate_via_handler_v3(void* memory) { std::free(memory); }

}  // namespace internal
}  // namespace tbb
