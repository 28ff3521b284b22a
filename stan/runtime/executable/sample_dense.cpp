#include "run.hpp"

#include <stan/model/model_base.hpp>
#include <stan/services/sample/hmc_nuts_dense_e.hpp>
#include <stan/services/sample/hmc_nuts_dense_e_adapt.hpp>
#include <stan/services/util/create_unit_e_dense_inv_metric.hpp>

namespace pyrobma {

namespace {

int sample(const Run& run, const stan::io::var_context& metric) {
  const Arguments& all = run.arguments;
  const Sampling& sampling = all.sample;
  const Adaptation& adapt = sampling.adapt;
  stan::callbacks::writer init_writer;
  if (!adapt.engaged) {
    return stan::services::sample::hmc_nuts_dense_e(
        run.model, run.init, metric, all.seed, all.id, run.init_radius,
        sampling.num_warmup, sampling.num_samples, sampling.thin, sampling.save_warmup,
        all.refresh, sampling.stepsize, sampling.stepsize_jitter, sampling.max_depth,
        run.interrupt, run.logger, init_writer, run.draws, run.diagnostics);
  }
  return stan::services::sample::hmc_nuts_dense_e_adapt(
      run.model, run.init, metric, all.seed, all.id, run.init_radius,
      sampling.num_warmup, sampling.num_samples, sampling.thin, sampling.save_warmup,
      all.refresh, sampling.stepsize, sampling.stepsize_jitter, sampling.max_depth,
      adapt.delta, adapt.gamma, adapt.kappa, adapt.t0, adapt.init_buffer,
      adapt.term_buffer, adapt.window, run.interrupt, run.logger, init_writer,
      run.draws, run.diagnostics, run.adapted_metric);
}

}  // namespace

int sample_dense(const Run& run) {
  if (run.metric != nullptr) return sample(run, *run.metric);
  auto unit = stan::services::util::create_unit_e_dense_inv_metric(
      run.model.num_params_r());
  return sample(run, unit);
}

}  // namespace pyrobma
