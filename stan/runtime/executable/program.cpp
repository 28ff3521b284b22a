#include "program.hpp"

#include "chains.hpp"
#include "console.hpp"
#include "draws_file.hpp"
#include "file_names.hpp"
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
#include <stdexcept>

// Defined by the generated code of the program.
stan::model::model_base& new_model(stan::io::var_context& data, unsigned int seed,
                                   std::ostream* messages);

namespace pyrobma {

namespace {

using stan::io::var_context;
using stan::model::model_base;

// Of each chain a file and its content; empty if none was given.
struct PerChain {
  std::vector<std::string> paths;
  std::vector<std::unique_ptr<var_context>> contexts;
};

// What the chains of a run read.
struct Inputs {
  std::vector<Chain> chains;
  double init_radius = 2;
  PerChain init;
  PerChain metric;
  std::vector<std::vector<std::vector<double>>> draws;  // by chain, row and parameter
};

std::unique_ptr<var_context> read_json(const std::string& role,
                                       const std::string& path) {
  std::istringstream text(read_text_file(role, path));
  try {
    return std::make_unique<stan::json::json_data>(text);
  } catch (const std::exception& error) {
    throw std::runtime_error(role + " \"" + path + "\": " + error.what());
  }
}

// The JSON file of each chain, or one for all.
PerChain read_each(const std::string& role, const std::string& path,
                   const std::vector<Chain>& chains, Console& console) {
  PerChain files{input_paths(path, chains), {}};
  if (chains.size() > 1 && files.paths.front() == path) {
    console.info("All chains use the " + role + " \"" + path + "\"");
  }
  for (const std::string& own : files.paths) {
    files.contexts.push_back(read_json(role, own));
  }
  return files;
}

std::string now() {
  const std::time_t seconds = std::time(nullptr);
  char text[64];
  std::strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S UTC", std::gmtime(&seconds));
  return text;
}

void write_config(CsvWriter& csv, const model_base& model, const Arguments& arguments,
                  bool is_complete) {
  for (const std::string& line : version_lines()) csv(line);
  csv("model = " + model.model_name());
  if (is_complete) csv("start_datetime = " + now());
  for (const std::string& line : arguments.config) csv(line);
  if (!is_complete) return;
  for (const std::string& line : model.model_compile_info()) csv(line);
}

bool is_sample(const Arguments& arguments) { return arguments.method == "sample"; }

bool is_hmc(const Arguments& arguments, const model_base& model) {
  return is_sample(arguments) && arguments.sample.algorithm != "fixed_param" &&
         model.num_params_r() > 0;
}

int run_service(const Run& run) {
  const Arguments& arguments = run.arguments;
  if (arguments.method == "optimize") return optimize(run);
  if (!is_hmc(arguments, run.model)) return sample_fixed(run);
  if (arguments.sample.metric == "dense_e") return sample_dense(run);
  if (arguments.sample.metric == "unit_e") return sample_unit(run);
  return sample_diag(run);
}

// The files that the initialisation of a chain has read, for its error.
std::string name_inputs(const Inputs& inputs, size_t chain) {
  std::string names;
  if (!inputs.init.paths.empty()) {
    names += "(init file \"" + inputs.init.paths[chain] + "\")";
  }
  if (!inputs.metric.paths.empty()) {
    names += " (metric file \"" + inputs.metric.paths[chain] + "\")";
  }
  return names;
}

void check(const Arguments& arguments, const model_base& model) {
  if (!is_hmc(arguments, model)) return;
  if (arguments.sample.adapt.engaged && arguments.sample.num_warmup == 0) {
    throw ArgumentError(
        "num_warmup=0: the number of warmup iterations must be above 0 while "
        "adaptation is engaged; set engaged=0 or num_warmup to at least 1");
  }
  if (!arguments.sample.metric_file.empty() && arguments.sample.metric == "unit_e") {
    throw ArgumentError("metric_file: the metric unit_e takes none");
  }
}

// What the user may not expect of the run.
void announce(const Arguments& arguments, const model_base& model, Console& console) {
  if (!is_sample(arguments) || is_hmc(arguments, model)) return;
  if (arguments.sample.algorithm == "hmc") {
    // CmdStanPy looks for this sentence.
    console.info(
        "Model contains no parameters, running fixed_param sampler, no updates to "
        "Markov chain");
  }
  if (arguments.sample.adapt.save_metric) {
    console.info(
        "save_metric=1: no metric file is written; the fixed_param sampler has no "
        "metric");
  }
}

std::vector<std::vector<std::vector<double>>> read_fits(
    const Arguments& arguments, const model_base& model,
    const std::vector<Chain>& chains) {
  std::vector<std::string> parameters, generated;
  model.constrained_param_names(parameters, false, false);
  model.constrained_param_names(generated, false, true);
  if (generated.size() == parameters.size()) {
    throw std::runtime_error(
        "generate_quantities: " + model.model_name() +
        " generates nothing: its program has no generated quantities, and transformed "
        "parameters are in the file of the fit");
  }
  std::vector<std::vector<std::vector<double>>> draws;
  for (const Chain& chain : chains) {
    const std::string& given = arguments.generate.fitted_params;
    const std::string path = chain.is_alone ? given : csv_path(given, chain);
    if (is_same_file(path, csv_path(arguments.output_file, chain))) {
      throw ArgumentError("fitted_params: \"" + path +
                          "\" is the output file too; name another output file");
    }
    draws.push_back(read_draws(path, parameters));
  }
  return draws;
}

Inputs read_inputs(const Arguments& arguments, const model_base& model,
                   Console& console) {
  Inputs inputs;
  const int count = arguments.num_chains();
  for (int i = 0; i < count; ++i) {
    inputs.chains.push_back({arguments.id + i, count == 1});
  }
  if (arguments.method == "generate_quantities") {
    inputs.draws = read_fits(arguments, model, inputs.chains);
    return inputs;
  }
  if (!read_number(arguments.init, inputs.init_radius)) {
    inputs.init_radius = 2;
    inputs.init = read_each("init file", arguments.init, inputs.chains, console);
  }
  if (is_hmc(arguments, model) && !arguments.sample.metric_file.empty()) {
    inputs.metric = read_each("metric file", arguments.sample.metric_file,
                              inputs.chains, console);
  }
  return inputs;
}

// Run one chain with its files; 0 on success. What fails is logged or thrown.
int run_chain(model_base& model, const Arguments& all, const Inputs& inputs,
              size_t index, Console& console) {
  const Chain& chain = inputs.chains[index];
  Arguments arguments = all;
  arguments.id = chain.id;

  TextFile csv_file("output file", csv_path(arguments.output_file, chain),
                    arguments.sig_figs);
  CsvWriter csv(csv_file);
  write_config(csv, model, arguments, true);

  stan::callbacks::writer no_writer;
  std::optional<TextFile> diagnostic_file;
  std::optional<CsvWriter> diagnostics;
  if (!arguments.diagnostic_file.empty()) {
    diagnostic_file.emplace("diagnostic file",
                            csv_path(arguments.diagnostic_file, chain),
                            arguments.sig_figs);
    diagnostics.emplace(*diagnostic_file);
    write_config(*diagnostics, model, arguments, false);
  }

  const bool is_adapted = is_hmc(arguments, model) && arguments.sample.adapt.engaged;
  stan::callbacks::structured_writer no_structured_writer;
  std::optional<TextFile> metric_file;
  std::optional<MetricWriter> adapted_metric;
  if (is_adapted && arguments.sample.adapt.save_metric) {
    metric_file.emplace("metric file", metric_path(arguments.output_file, chain),
                        arguments.sig_figs);
    adapted_metric.emplace(*metric_file);
  }

  const var_context& no_init = stan::io::empty_var_context();
  Progress progress(console,
                    is_hmc(arguments, model) ? arguments.sample.num_warmup : 0);
  const Run run{model,
                arguments,
                inputs.init.paths.empty() ? no_init : *inputs.init.contexts[index],
                inputs.init_radius,
                inputs.metric.paths.empty() ? nullptr
                                            : inputs.metric.contexts[index].get(),
                progress,
                console,
                csv,
                diagnostics ? *diagnostics : no_writer,
                adapted_metric ? *adapted_metric : no_structured_writer};
  // CmdStan counts the streams of generated quantities from 1, whatever the ids.
  const int code = inputs.draws.empty()
                       ? run_service(run)
                       : generate_quantities(run, inputs.draws[index], index + 1);

  if (code == stan::services::error_codes::CONFIG) {
    console.error(name_inputs(inputs, index));
  }
  if (code != stan::services::error_codes::OK) return code;
  // The service reports success although it found no first step size.
  if (!csv.has_header()) return stan::services::error_codes::SOFTWARE;
  if (arguments.method == "optimize" && !std::isfinite(csv.last_lp())) {
    throw std::runtime_error(
        "the optimizer ended where the log density is not finite; try other initial "
        "values or algorithm=lbfgs");
  }
  csv_file.close();
  if (diagnostic_file) diagnostic_file->close();
  if (metric_file) metric_file->close();
  return 0;
}

bool report_chain(model_base& model, const Arguments& arguments, const Inputs& inputs,
                  size_t index) {
  const Chain& chain = inputs.chains[index];
  Console console(chain.is_alone ? "" : "Chain [" + std::to_string(chain.id) + "]");
  try {
    if (run_chain(model, arguments, inputs, index, console) == 0) {
      console.report_success();
      return true;
    }
    console.report_failure();
  } catch (const std::exception& error) {
    console.report_failure(error.what());
  } catch (...) {
    console.report_failure("an unknown exception ended the run");
  }
  return false;
}

}  // namespace

std::vector<std::string> version_lines() {
  return {"stan_version_major = " + std::to_string(STAN_MAJOR),
          "stan_version_minor = " + std::to_string(STAN_MINOR),
          "stan_version_patch = " + std::to_string(STAN_PATCH)};
}

bool run_program(const Arguments& arguments) {
  std::string config;
  for (const std::string& line : arguments.config) config += line + "\n";
  std::cout << config << std::endl;

  std::unique_ptr<var_context> data = std::make_unique<stan::io::empty_var_context>();
  if (!arguments.data_file.empty()) data = read_json("data file", arguments.data_file);
  const std::unique_ptr<model_base> model(
      &new_model(*data, arguments.seed, &std::cout));
  data.reset();

  check(arguments, *model);
  Console console;
  const Inputs inputs = read_inputs(arguments, *model, console);
  announce(arguments, *model, console);
  return run_chains(arguments.num_chains(), arguments.chains_at_once,
                    [&](int chain) {
                      return report_chain(*model, arguments, inputs,
                                          static_cast<size_t>(chain));
                    });
}

}  // namespace pyrobma
