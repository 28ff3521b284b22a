// What CmdStan calls the files of a run.

#ifndef PYROBMA_RUNTIME_EXECUTABLE_FILE_NAMES_HPP
#define PYROBMA_RUNTIME_EXECUTABLE_FILE_NAMES_HPP

#include <string>
#include <vector>

namespace pyrobma {

// One chain among those of its process.
struct Chain {
  unsigned int id;
  bool is_alone;

  // "" for a chain that is alone, else "_<id>".
  std::string mark() const;
};

// The CSV file of a chain: its mark comes before the suffix, and a path without one
// gets ".csv". A device or a pipe keeps its name.
std::string csv_path(const std::string& path, const Chain& chain);

// The file of a chain's adapted metric, beside its CSV file.
std::string metric_path(const std::string& path, const Chain& chain);

// The input of each chain: the path with the chain's mark, if there is such a file for
// every chain, else the path itself.
std::vector<std::string> input_paths(const std::string& path,
                                     const std::vector<Chain>& chains);

// Whether two paths name one file that exists.
bool is_same_file(const std::string& path, const std::string& other);

}  // namespace pyrobma

#endif
