#include "run.hpp"

#include <stan/model/model_base.hpp>
#include <stan/services/sample/fixed_param.hpp>
#include <stan/services/sample/hmc_nuts_unit_e.hpp>
#include <stan/services/sample/hmc_nuts_unit_e_adapt.hpp>

namespace pyrobma {

int sample_unit(const Run& run) {
  const Arguments& all = run.arguments;
  const Sampling& sampling = all.sample;
  const Adaptation& adapt = sampling.adapt;
  stan::callbacks::writer init_writer;
  if (!adapt.engaged) {
    return stan::services::sample::hmc_nuts_unit_e(
        run.model, run.init, all.seed, all.id, run.init_radius, sampling.num_warmup,
        sampling.num_samples, sampling.thin, sampling.save_warmup, all.refresh,
        sampling.stepsize, sampling.stepsize_jitter, sampling.max_depth, run.interrupt,
        run.logger, init_writer, run.draws, run.diagnostics);
  }
  return stan::services::sample::hmc_nuts_unit_e_adapt(
      run.model, run.init, all.seed, all.id, run.init_radius, sampling.num_warmup,
      sampling.num_samples, sampling.thin, sampling.save_warmup, all.refresh,
      sampling.stepsize, sampling.stepsize_jitter, sampling.max_depth, adapt.delta,
      adapt.gamma, adapt.kappa, adapt.t0, run.interrupt, run.logger, init_writer,
      run.draws, run.diagnostics, run.adapted_metric);
}

int sample_fixed(const Run& run) {
  const Arguments& all = run.arguments;
  stan::callbacks::writer init_writer;
  return stan::services::sample::fixed_param(
      run.model, run.init, all.seed, all.id, run.init_radius, all.sample.num_samples,
      all.sample.thin, all.refresh, run.interrupt, run.logger, init_writer, run.draws,
      run.diagnostics);
}

}  // namespace pyrobma
