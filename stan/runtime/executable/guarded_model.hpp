// A model whose log density is never NaN.

#ifndef PYROBMA_RUNTIME_EXECUTABLE_GUARDED_MODEL_HPP
#define PYROBMA_RUNTIME_EXECUTABLE_GUARDED_MODEL_HPP

#include <stan/model/model_base.hpp>

#include <cmath>
#include <ostream>
#include <stdexcept>
#include <string>
#include <vector>

namespace pyrobma {

// Newton's method of Stan shortens a step that throws or does not improve, but accepts
// one that ends in NaN and wanders from there. Here such a step throws; otherwise
// everything is the model's own.
class GuardedModel {
 public:
  explicit GuardedModel(stan::model::model_base& model) : model_(model) {}

  template <bool propto, bool jacobian, typename T>
  T log_prob(std::vector<T>& params_r, std::vector<int>& params_i,
             std::ostream* messages) const {
    const T log_density =
        model_.template log_prob<propto, jacobian>(params_r, params_i, messages);
    if (std::isnan(stan::math::value_of(log_density))) {
      throw std::domain_error("The log density is not a number.");
    }
    return log_density;
  }

  size_t num_params_r() const { return model_.num_params_r(); }

  void get_param_names(std::vector<std::string>& names, bool with_transformed,
                       bool with_generated) const {
    model_.get_param_names(names, with_transformed, with_generated);
  }

  void get_dims(std::vector<std::vector<size_t>>& dims, bool with_transformed,
                bool with_generated) const {
    model_.get_dims(dims, with_transformed, with_generated);
  }

  void constrained_param_names(std::vector<std::string>& names, bool with_transformed,
                               bool with_generated) const {
    model_.constrained_param_names(names, with_transformed, with_generated);
  }

  void transform_inits(const stan::io::var_context& context,
                       std::vector<int>& params_i, std::vector<double>& params_r,
                       std::ostream* messages) const {
    model_.transform_inits(context, params_i, params_r, messages);
  }

  void write_array(stan::rng_t& rng, std::vector<double>& params_r,
                   std::vector<int>& params_i, std::vector<double>& values,
                   bool with_transformed, bool with_generated,
                   std::ostream* messages) const {
    model_.write_array(rng, params_r, params_i, values, with_transformed,
                       with_generated, messages);
  }

 private:
  stan::model::model_base& model_;
};

}  // namespace pyrobma

#endif
