// Several chains of one command.

#ifndef PYROBMA_RUNTIME_EXECUTABLE_CHAINS_HPP
#define PYROBMA_RUNTIME_EXECUTABLE_CHAINS_HPP

#include <functional>

namespace pyrobma {

// Call `run` for the chains 0, ..., count - 1, up to `at_once` of them at a time; true
// if each returned true. `run` does not throw. After one that failed no further begins.
//
// Chains at the same time are in processes of their own: threads would share the tape
// of reverse-mode differentiation, unless the programs were compiled to be slower.
bool run_chains(int count, int at_once, const std::function<bool(int)>& run);

// Whether the process that was to wait for this chain is gone.
bool is_abandoned();

}  // namespace pyrobma

#endif
