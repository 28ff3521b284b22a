// The command line of a program, as plain values.
//
// The arguments form CmdStan's tree: a section is entered by a bare word (`output`) or
// by a choice (`algorithm=hmc`); the first token that a section does not know closes it
// and is offered to the section around it.

#ifndef PYROBMA_RUNTIME_EXECUTABLE_ARGUMENTS_HPP
#define PYROBMA_RUNTIME_EXECUTABLE_ARGUMENTS_HPP

#include <stdexcept>
#include <string>
#include <vector>

namespace pyrobma {

struct Adaptation {
  bool engaged = true;
  double gamma = 0.05;
  double delta = 0.8;
  double kappa = 0.75;
  double t0 = 10;
  unsigned int init_buffer = 75;
  unsigned int term_buffer = 50;
  unsigned int window = 25;
  bool save_metric = false;
};

struct Sampling {
  int num_samples = 1000;
  int num_warmup = 1000;
  bool save_warmup = false;
  int thin = 1;
  Adaptation adapt;
  std::string algorithm = "hmc";  // or fixed_param
  std::string engine = "nuts";
  int max_depth = 10;
  std::string metric = "diag_e";  // or dense_e, unit_e
  std::string metric_file;
  double stepsize = 1;
  double stepsize_jitter = 0;
  int num_chains = 1;
};

struct Optimization {
  std::string algorithm = "lbfgs";  // or bfgs, newton
  double init_alpha = 0.001;
  double tol_obj = 1e-12;
  double tol_rel_obj = 1e4;
  double tol_grad = 1e-8;
  double tol_rel_grad = 1e7;
  double tol_param = 1e-8;
  int history_size = 5;
  bool jacobian = false;
  int iter = 2000;
  bool save_iterations = false;
};

struct Generation {
  std::string fitted_params;
  int num_chains = 1;
};

struct Arguments {
  std::string method = "sample";  // or optimize, generate_quantities
  Sampling sample;
  Optimization optimize;
  Generation generate;
  unsigned int id = 1;  // of the first chain
  std::string data_file;
  std::string init = "2";  // the radius of random values, or the path of a JSON file
  unsigned int seed = 0;
  std::string output_file = "output.csv";
  std::string diagnostic_file;
  int refresh = 100;
  int sig_figs = -1;  // -1: the 6 digits of a C++ stream
  std::string profile_file = "profile.csv";
  bool save_cmdstan_config = false;
  int num_threads = 1;

  // From num_threads or, without it, the environment variable STAN_NUM_THREADS.
  int chains_at_once = 1;

  // What `help` among the arguments asks for; empty without it.
  std::string help;

  // What the outputs say about the run: one `key = value` or section name a line, two
  // blanks of indentation a level, ` (Default)` after values that are the defaults.
  std::vector<std::string> config;

  int num_chains() const {
    if (method == "sample") return sample.num_chains;
    return method == "generate_quantities" ? generate.num_chains : 1;
  }
};

// A command line that cannot be run; `what()` is one line for the user.
class ArgumentError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// Read the command line, without the name of the executable.
// Throws ArgumentError on an unknown, repeated or illegal argument.
Arguments parse_arguments(const std::vector<std::string>& tokens);

// Every argument with its default and its legal values.
std::string describe_arguments();

// Read a complete token as a number; false if it is none.
bool read_number(const std::string& text, double& value);

}  // namespace pyrobma

#endif
