#include "run.hpp"

#include <stan/model/model_base.hpp>
#include <stan/services/error_codes.hpp>
#include <stan/services/util/create_rng.hpp>
#include <stan/services/util/gq_writer.hpp>

#include <stdexcept>

namespace pyrobma {

// Stan's own service for one chain has one random stream for all chains, and that for
// many needs a library of threads: this is what both do.
int generate_quantities(const Run& run, const std::vector<std::vector<double>>& draws,
                        unsigned int stream) {
  std::vector<std::string> parameters;
  run.model.constrained_param_names(parameters, false, false);
  stan::services::util::gq_writer writer(run.draws, run.logger,
                                         static_cast<int>(parameters.size()));
  writer.write_gq_names(run.model);
  stan::rng_t rng = stan::services::util::create_rng(run.arguments.seed, stream);
  std::vector<double> unconstrained;
  for (size_t row = 0; row < draws.size(); ++row) {
    run.interrupt();
    try {
      run.model.unconstrain_array(draws[row], unconstrained, nullptr);
    } catch (const std::exception& error) {
      throw std::runtime_error("fitted_params, draw " + std::to_string(row + 1) + ": " +
                               error.what() +
                               ". If it was written with few digits, give the fit "
                               "sig_figs=17");
    }
    writer.write_gq_values(run.model, rng, unconstrained);
  }
  return stan::services::error_codes::OK;
}

}  // namespace pyrobma
