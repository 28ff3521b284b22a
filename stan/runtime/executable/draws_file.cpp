#include "draws_file.hpp"

#include "arguments.hpp"
#include "text_file.hpp"

#include <sstream>
#include <stdexcept>

namespace pyrobma {

namespace {

const char* const role = "fitted_params file";

std::vector<std::string> split(const std::string& line) {
  std::vector<std::string> cells;
  std::istringstream stream(line);
  for (std::string cell; std::getline(stream, cell, ',');) cells.push_back(cell);
  return cells;
}

bool is_of_sampler(const std::string& name) {
  return name.size() > 2 && name.compare(name.size() - 2, 2, "__") == 0;
}

}  // namespace

std::vector<std::vector<double>> read_draws(const std::string& path,
                                            const std::vector<std::string>& names) {
  std::istringstream text(read_text_file(role, path));
  int number = 0;
  const auto fail = [&](const std::string& problem) {
    throw std::runtime_error(std::string(role) + " \"" + path + "\", line " +
                             std::to_string(number) + ": " + problem);
  };

  std::vector<std::string> header;
  size_t first = 0;
  std::vector<std::vector<double>> draws;
  for (std::string line; std::getline(text, line);) {
    ++number;
    if (!line.empty() && line.back() == '\r') line.pop_back();
    if (line.empty() || line.front() == '#') continue;
    const std::vector<std::string> cells = split(line);
    if (header.empty()) {
      header = cells;
      while (first < header.size() && is_of_sampler(header[first])) ++first;
      for (size_t i = 0; i < names.size(); ++i) {
        const std::string found =
            first + i < header.size() ? "\"" + header[first + i] + "\"" : "no more";
        if (found != "\"" + names[i] + "\"") {
          fail("expected the parameters of this program; column " +
               std::to_string(first + i + 1) + " should be \"" + names[i] +
               "\" and is " + found + ". Give a fit of the same parameters");
        }
      }
      continue;
    }
    if (cells.size() != header.size()) {
      fail("expected " + std::to_string(header.size()) + " values; found " +
           std::to_string(cells.size()));
    }
    std::vector<double> draw(names.size());
    for (size_t i = 0; i < names.size(); ++i) {
      if (!read_number(cells[first + i], draw[i])) {
        fail("expected a number for \"" + names[i] + "\"; found \"" +
             cells[first + i] + "\"");
      }
    }
    draws.push_back(std::move(draw));
  }
  if (draws.empty()) fail("expected draws of a fit; found none");
  return draws;
}

}  // namespace pyrobma
