#include "guarded_model.hpp"
#include "run.hpp"

#include <stan/model/model_base.hpp>
#include <stan/services/optimize/bfgs.hpp>
#include <stan/services/optimize/lbfgs.hpp>
#include <stan/services/optimize/newton.hpp>

namespace pyrobma {

namespace {

template <bool jacobian>
int optimize(const Run& run) {
  using Model = stan::model::model_base;
  namespace services = stan::services::optimize;
  const Arguments& all = run.arguments;
  const Optimization& to = all.optimize;
  stan::callbacks::writer init_writer;
  // Newton's step needs an equation; a point without coordinates is any algorithm's.
  if (to.algorithm == "newton" && run.model.num_params_r() > 0) {
    GuardedModel model(run.model);
    return services::newton<GuardedModel, jacobian>(
        model, run.init, all.seed, all.id, run.init_radius, to.iter,
        to.save_iterations, run.interrupt, run.logger, init_writer, run.draws);
  }
  if (to.algorithm == "bfgs") {
    return services::bfgs<Model, jacobian>(
        run.model, run.init, all.seed, all.id, run.init_radius, to.init_alpha,
        to.tol_obj, to.tol_rel_obj, to.tol_grad, to.tol_rel_grad, to.tol_param, to.iter,
        to.save_iterations, all.refresh, run.interrupt, run.logger, init_writer,
        run.draws);
  }
  return services::lbfgs<Model, jacobian>(
      run.model, run.init, all.seed, all.id, run.init_radius, to.history_size,
      to.init_alpha, to.tol_obj, to.tol_rel_obj, to.tol_grad, to.tol_rel_grad,
      to.tol_param, to.iter, to.save_iterations, all.refresh, run.interrupt, run.logger,
      init_writer, run.draws);
}

}  // namespace

int optimize(const Run& run) {
  return run.arguments.optimize.jacobian ? optimize<true>(run) : optimize<false>(run);
}

}  // namespace pyrobma
