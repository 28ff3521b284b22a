// An executable that runs one Stan program the way CmdStan 2.35 does.

#include "arguments.hpp"
#include "console.hpp"
#include "run.hpp"
#include "text_file.hpp"
#include "writers.hpp"

#include <stan/io/empty_var_context.hpp>
#include <stan/io/json/json_data.hpp>
#include <stan/model/model_base.hpp>
#include <stan/services/error_codes.hpp>
#include <stan/version.hpp>

#include <cmath>
#include <ctime>
#include <iostream>
#include <memory>
#include <optional>
#include <sstream>
#include <string>
#include <vector>

// Defined by the generated code of the program.
stan::model::model_base& new_model(stan::io::var_context& data, unsigned int seed,
                                   std::ostream* messages);

namespace {

using pyrobma::Arguments;
using pyrobma::CsvWriter;
using pyrobma::TextFile;
using stan::io::var_context;

const std::vector<std::string> version_lines = {
    "stan_version_major = " + std::to_string(STAN_MAJOR),
    "stan_version_minor = " + std::to_string(STAN_MINOR),
    "stan_version_patch = " + std::to_string(STAN_PATCH)};

void print_version() {
  for (const std::string& line : version_lines) std::cout << line << '\n';
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
            << " sample|optimize [arguments]\n"
               "       "
            << executable
            << " info|version|help\n\n"
               "Arguments, with their defaults and legal values:\n"
            << pyrobma::describe_arguments();
}

std::unique_ptr<var_context> read_json(const std::string& role,
                                       const std::string& path) {
  std::istringstream text(pyrobma::read_text_file(role, path));
  try {
    return std::make_unique<stan::json::json_data>(text);
  } catch (const std::exception& error) {
    throw std::runtime_error(role + " \"" + path + "\": " + error.what());
  }
}

std::string now() {
  const std::time_t seconds = std::time(nullptr);
  char text[64];
  std::strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S UTC", std::gmtime(&seconds));
  return text;
}

void write_config(CsvWriter& csv, const stan::model::model_base& model,
                  const Arguments& arguments, bool is_complete) {
  for (const std::string& line : version_lines) csv(line);
  csv("model = " + model.model_name());
  if (is_complete) csv("start_datetime = " + now());
  for (const std::string& line : arguments.config) csv(line);
  if (!is_complete) return;
  for (const std::string& line : model.model_compile_info()) csv(line);
}

std::string metric_path(const std::string& csv_path) {
  const size_t dot = csv_path.rfind('.');
  const size_t slash = csv_path.rfind('/');
  const bool has_suffix =
      dot != std::string::npos && (slash == std::string::npos || dot > slash);
  return csv_path.substr(0, has_suffix ? dot : std::string::npos) + "_metric.json";
}

bool is_fixed(const Arguments& arguments, const stan::model::model_base& model) {
  return arguments.sample.algorithm == "fixed_param" || model.num_params_r() == 0;
}

int run_service(const pyrobma::Run& run) {
  const Arguments& arguments = run.arguments;
  if (arguments.method == "optimize") return pyrobma::optimize(run);
  if (is_fixed(arguments, run.model)) return pyrobma::sample_fixed(run);
  if (arguments.sample.metric == "dense_e") return pyrobma::sample_dense(run);
  if (arguments.sample.metric == "unit_e") return pyrobma::sample_unit(run);
  return pyrobma::sample_diag(run);
}

// The files that the initialisation of a run has read, for its error.
std::string name_inputs(const Arguments& arguments, bool has_init_file,
                        bool has_metric_file) {
  std::string names;
  if (has_init_file) names += "(init file \"" + arguments.init + "\")";
  if (has_metric_file) {
    names += " (metric file \"" + arguments.sample.metric_file + "\")";
  }
  return names;
}

// Run the program; 0 on success. What fails is logged or thrown.
int run_program(const Arguments& arguments, pyrobma::Console& console) {
  std::unique_ptr<var_context> data = std::make_unique<stan::io::empty_var_context>();
  if (!arguments.data_file.empty()) data = read_json("data file", arguments.data_file);
  const std::unique_ptr<stan::model::model_base> model(
      &new_model(*data, arguments.seed, &std::cout));
  data.reset();

  const bool is_sample = arguments.method == "sample";
  const bool is_hmc = is_sample && !is_fixed(arguments, *model);
  if (is_hmc && arguments.sample.adapt.engaged && arguments.sample.num_warmup == 0) {
    throw pyrobma::ArgumentError(
        "num_warmup=0: the number of warmup iterations must be above 0 while "
        "adaptation is engaged; set engaged=0 or num_warmup to at least 1");
  }

  double init_radius = 2;
  std::unique_ptr<var_context> init = std::make_unique<stan::io::empty_var_context>();
  const bool has_init_file = !pyrobma::read_number(arguments.init, init_radius);
  if (has_init_file) init = read_json("init file", arguments.init);

  std::unique_ptr<var_context> metric;
  const bool has_metric_file = is_hmc && !arguments.sample.metric_file.empty();
  if (has_metric_file) {
    if (arguments.sample.metric == "unit_e") {
      throw pyrobma::ArgumentError("metric_file: the metric unit_e takes none");
    }
    metric = read_json("metric file", arguments.sample.metric_file);
  }

  TextFile csv_file("output file", arguments.output_file, arguments.sig_figs);
  CsvWriter csv(csv_file);
  write_config(csv, *model, arguments, true);

  stan::callbacks::writer no_writer;
  std::optional<TextFile> diagnostic_file;
  std::optional<CsvWriter> diagnostics;
  if (!arguments.diagnostic_file.empty()) {
    diagnostic_file.emplace("diagnostic file", arguments.diagnostic_file,
                            arguments.sig_figs);
    diagnostics.emplace(*diagnostic_file);
    write_config(*diagnostics, *model, arguments, false);
  }

  stan::callbacks::structured_writer no_structured_writer;
  std::optional<TextFile> metric_file;
  std::optional<pyrobma::MetricWriter> adapted_metric;
  if (is_hmc && arguments.sample.adapt.engaged && arguments.sample.adapt.save_metric) {
    metric_file.emplace("metric file", metric_path(arguments.output_file),
                        arguments.sig_figs);
    adapted_metric.emplace(*metric_file);
  }

  if (is_sample && !is_hmc && arguments.sample.algorithm == "hmc") {
    // CmdStanPy looks for this sentence.
    console.info(
        "Model contains no parameters, running fixed_param sampler, no updates to "
        "Markov chain");
  }
  pyrobma::Progress progress(console, is_hmc ? arguments.sample.num_warmup : 0);
  const int code = run_service(pyrobma::Run{
      *model, arguments, *init, has_init_file ? 2 : init_radius, metric.get(), progress,
      console, csv, diagnostics ? *diagnostics : no_writer,
      adapted_metric ? *adapted_metric : no_structured_writer});

  if (code == stan::services::error_codes::CONFIG) {
    console.error(name_inputs(arguments, has_init_file, has_metric_file));
  }
  if (code != stan::services::error_codes::OK) return code;
  // The service reports success although it found no first step size.
  if (!csv.has_header()) return stan::services::error_codes::SOFTWARE;
  if (!is_sample && !std::isfinite(csv.last_lp())) {
    throw std::runtime_error(
        "the optimizer ended where the log density is not finite; try other initial "
        "values or algorithm=lbfgs");
  }
  csv_file.close();
  if (diagnostic_file) diagnostic_file->close();
  if (metric_file) metric_file->close();
  return 0;
}

// Run the command line; 0 on success, else 1 with a line that begins with `Er` or `Ex`.
int run_command(const std::vector<std::string>& tokens) {
  pyrobma::Console console;
  try {
    if (run_program(pyrobma::parse_arguments(tokens), console) == 0) {
      console.report_success();
      return 0;
    }
    console.report_failure();
  } catch (const std::exception& error) {
    console.report_failure(error.what());
  } catch (...) {
    console.report_failure("an unknown exception ended the run");
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
