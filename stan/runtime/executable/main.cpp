// An executable that runs one Stan program the way CmdStan 2.35 does.

#include "arguments.hpp"
#include "console.hpp"
#include "program.hpp"

#include <exception>
#include <iostream>
#include <string>
#include <vector>

namespace {

void print_version() {
  for (const std::string& line : pyrobma::version_lines()) std::cout << line << '\n';
}

void print_info() {
  print_version();
  std::cout << "STAN_THREADS=false\n"
               "STAN_MPI=false\n"
               "STAN_OPENCL=false\n"
               "STAN_NO_RANGE_CHECKS=false\n"
               "STAN_CPP_OPTIMS=false\n";
}

void print_help(const std::string& executable) {
  std::cout << "Usage: " << executable
            << " sample|optimize|generate_quantities [arguments]\n"
               "       "
            << executable
            << " info|version|help\n\n"
               "Arguments, with their defaults and legal values; `help` after one of "
               "them shows those within it:\n"
            << pyrobma::describe_arguments();
}

// Run the command line; 0 on success, else 1 with a line that begins with `Er` or `Ex`.
int run_command(const std::vector<std::string>& tokens) {
  try {
    const pyrobma::Arguments arguments = pyrobma::parse_arguments(tokens);
    if (arguments.help.empty()) return pyrobma::run_program(arguments) ? 0 : 1;
    std::cout << arguments.help;
    return std::cout.flush() ? 0 : 1;
  } catch (const std::exception& error) {
    pyrobma::Console().report_failure(error.what());
  } catch (...) {
    pyrobma::Console().report_failure("an unknown exception ended the run");
  }
  return 1;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string executable = argc > 0 ? argv[0] : "program";
  const std::vector<std::string> tokens(argv + (argc > 0), argv + argc);
  const std::string command = tokens.empty() ? "" : tokens.front();
  if (command == "info") {
    print_info();
  } else if (command == "version") {
    print_version();
  } else if (command == "help" || command == "help-all" || command == "--help") {
    print_help(executable);
  } else if (tokens.empty()) {
    std::cerr << "Error: no arguments; `" << executable << " help` lists them"
              << std::endl;
    return 1;
  } else {
    return run_command(tokens);
  }
  return std::cout.flush() ? 0 : 1;
}
