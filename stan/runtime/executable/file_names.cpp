#include "file_names.hpp"

#include <algorithm>
#include <filesystem>
#include <system_error>

namespace pyrobma {

namespace {

namespace fs = std::filesystem;

struct Name {
  std::string stem;
  std::string suffix;
};

Name split(const std::string& path) {
  const std::string suffix = fs::path(path).extension().string();
  if (suffix == ".") return {path, ""};
  return {path.substr(0, path.size() - suffix.size()), suffix};
}

bool is_device(const std::string& path) {
  std::error_code ignored;
  const fs::file_status status = fs::status(path, ignored);
  return fs::exists(status) && fs::is_other(status);
}

}  // namespace

std::string Chain::mark() const { return is_alone ? "" : "_" + std::to_string(id); }

std::string csv_path(const std::string& path, const Chain& chain) {
  if (is_device(path)) return path;
  const Name name = split(path);
  return name.stem + chain.mark() + (name.suffix.empty() ? ".csv" : name.suffix);
}

std::string metric_path(const std::string& path, const Chain& chain) {
  return split(path).stem + "_metric" + chain.mark() + ".json";
}

std::vector<std::string> input_paths(const std::string& path,
                                     const std::vector<Chain>& chains) {
  const Name name = split(path);
  std::vector<std::string> paths;
  for (const Chain& chain : chains) {
    paths.push_back(name.stem + chain.mark() + name.suffix);
  }
  const bool are_there =
      std::all_of(paths.begin(), paths.end(), [](const std::string& marked) {
        std::error_code ignored;
        return fs::exists(marked, ignored);
      });
  if (!are_there) std::fill(paths.begin(), paths.end(), path);
  return paths;
}

bool is_same_file(const std::string& path, const std::string& other) {
  std::error_code ignored;
  return fs::equivalent(path, other, ignored);
}

}  // namespace pyrobma
