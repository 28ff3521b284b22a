// The Stan program, run as the arguments say.

#ifndef PYROBMA_RUNTIME_EXECUTABLE_PROGRAM_HPP
#define PYROBMA_RUNTIME_EXECUTABLE_PROGRAM_HPP

#include "arguments.hpp"

#include <string>
#include <vector>

namespace pyrobma {

// `key = value` lines with the version of Stan.
std::vector<std::string> version_lines();

// Whether all chains succeeded; those that did not have told the console why.
// Throws std::exception for what fails before the first chain.
bool run_program(const Arguments& arguments);

}  // namespace pyrobma

#endif
