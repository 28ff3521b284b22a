// Draws of an earlier fit, from its CSV file.

#ifndef PYROBMA_RUNTIME_EXECUTABLE_DRAWS_FILE_HPP
#define PYROBMA_RUNTIME_EXECUTABLE_DRAWS_FILE_HPP

#include <string>
#include <vector>

namespace pyrobma {

// The values of `names` in every row of the file at `path`, warmup included. They are
// its first columns but those that end in "__", in this order, as fits of a program
// with the same parameters write them.
// Throws std::runtime_error that says where the file is not such.
std::vector<std::vector<double>> read_draws(const std::string& path,
                                            const std::vector<std::string>& names);

}  // namespace pyrobma

#endif
