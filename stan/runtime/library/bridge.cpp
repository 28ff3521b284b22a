#include "bridge.h"

#include <cstdlib>
#include <cstring>
#include <exception>
#include <initializer_list>
#include <stdexcept>
#include <string>

#include "model.hpp"
#include "prints.hpp"

extern const int bs_major_version = 2;
extern const int bs_minor_version = 9;
extern const int bs_patch_version = 0;

namespace {

using pyrobma::Prints;

void set_error(char** err, const char* function, const char* problem) noexcept {
  if (err == nullptr) return;
  *err = nullptr;
  try {
    const std::string message
        = std::string(function) + "() failed with exception: " + problem;
    char* copy = static_cast<char*>(std::malloc(message.size() + 1));
    if (copy == nullptr) return;
    std::memcpy(copy, message.c_str(), message.size() + 1);
    *err = copy;
  } catch (...) {
    // No memory for the message: the return code still tells of the failure.
  }
}

// Runs `body(prints)`; no exception may leave a C function.
template <typename Result, typename Body>
Result guarded(const char* function, char** err, Result failure, Body body) noexcept {
  try {
    Prints prints;
    return body(prints);
  } catch (const std::exception& e) {
    set_error(err, function, e.what());
  } catch (...) {
    set_error(err, function, "unknown error");
  }
  return failure;
}

const bs_model& checked(const bs_model* model) {
  if (model == nullptr)
    throw std::invalid_argument("model: expected a constructed model; got NULL.");
  return *model;
}

void check_batch(int n, std::initializer_list<const double*> arrays) {
  if (n < 0)
    throw std::invalid_argument("n: expected at least 0 points; got "
                                + std::to_string(n) + ".");
  for (const double* array : arrays)
    if (array == nullptr && n > 0)
      throw std::invalid_argument("arrays: expected room for every point; got NULL.");
}

}  // namespace

extern "C" {

bs_model* bs_model_construct(const char* data, unsigned int seed, char** err) {
  return guarded(
      "model_construct", err, static_cast<bs_model*>(nullptr),
      [&](Prints& prints) { return new bs_model(data, seed, prints); });
}

void bs_model_destruct(bs_model* model) {
  guarded("model_destruct", nullptr, 0, [&](Prints&) {
    delete model;
    return 0;
  });
}

void bs_free_error_msg(char* message) { std::free(message); }

int bs_set_print_callback(bs_print_callback callback, char** err) {
  return guarded("set_print_callback", err, -1, [&](Prints&) {
    pyrobma::set_print_callback(callback);
    return 0;
  });
}

const char* bs_name(const bs_model* model) { return model->name().c_str(); }

const char* bs_model_info(const bs_model* model) { return model->info().c_str(); }

const char* bs_param_names(const bs_model* model, bool include_tp, bool include_gq) {
  return model->names(include_tp, include_gq).c_str();
}

const char* bs_param_unc_names(const bs_model* model) {
  return model->unc_names().c_str();
}

int bs_param_num(const bs_model* model, bool include_tp, bool include_gq) {
  return model->num(include_tp, include_gq);
}

int bs_param_unc_num(const bs_model* model) { return model->unc_num(); }

int bs_param_constrain(const bs_model* model, bool include_tp, bool include_gq,
                       const double* unc, double* con, bs_rng* rng, char** err) {
  return guarded("param_constrain", err, -1, [&](Prints& prints) {
    checked(model).constrain(include_tp, include_gq, unc, con, rng, prints);
    return 0;
  });
}

int bs_param_unconstrain(const bs_model* model, const double* con, double* unc,
                         char** err) {
  return guarded("param_unconstrain", err, -1, [&](Prints& prints) {
    checked(model).unconstrain(con, unc, prints);
    return 0;
  });
}

int bs_param_unconstrain_json(const bs_model* model, const char* json, double* unc,
                              char** err) {
  return guarded("param_unconstrain_json", err, -1, [&](Prints& prints) {
    checked(model).unconstrain_json(json, unc, prints);
    return 0;
  });
}

int bs_param_initialize(const bs_model* model, const char* json, bs_rng* rng,
                        double radius, int max_tries, bool jacobian, double* unc,
                        char** err) {
  return guarded("param_initialize", err, -1, [&](Prints& prints) {
    checked(model).initialize(json, rng, radius, max_tries, jacobian, unc, prints);
    return 0;
  });
}

int bs_log_density(const bs_model* model, bool propto, bool jacobian, const double* unc,
                   double* lp, char** err) {
  return guarded("log_density", err, -1, [&](Prints& prints) {
    *lp = checked(model).log_density(propto, jacobian, unc, prints);
    return 0;
  });
}

int bs_log_density_gradient(const bs_model* model, bool propto, bool jacobian,
                            const double* unc, double* lp, double* grad, char** err) {
  return guarded("log_density_gradient", err, -1, [&](Prints& prints) {
    *lp = checked(model).gradient(propto, jacobian, unc, grad, prints);
    return 0;
  });
}

int bs_log_density_hessian(const bs_model* model, bool propto, bool jacobian,
                           const double* unc, double* lp, double* grad, double* hess,
                           char** err) {
  return guarded("log_density_hessian", err, -1, [&](Prints& prints) {
    *lp = checked(model).hessian(propto, jacobian, unc, grad, hess, prints);
    return 0;
  });
}

int bs_log_density_hessian_vector_product(const bs_model* model, bool propto,
                                          bool jacobian, const double* unc,
                                          const double* v, double* lp, double* hvp,
                                          char** err) {
  return guarded("log_density_hessian_vector_product", err, -1, [&](Prints& prints) {
    *lp = checked(model).hessian_vector_product(propto, jacobian, unc, v, hvp, prints);
    return 0;
  });
}

bs_rng* bs_rng_construct(unsigned int seed, char** err) {
  return guarded("rng_construct", err, static_cast<bs_rng*>(nullptr),
                 [&](Prints&) { return new bs_rng(seed); });
}

void bs_rng_destruct(bs_rng* rng) {
  guarded("rng_destruct", nullptr, 0, [&](Prints&) {
    delete rng;
    return 0;
  });
}

int bs_x_pyrobma_log_density_many(const bs_model* model, bool propto, bool jacobian,
                                  int n, const double* unc, double* lp, char** err) {
  const char* function = "log_density_many";
  return guarded(function, err, -1, [&](Prints& prints) {
    check_batch(n, {unc, lp});
    std::string first_failure;
    const int failures = checked(model).log_density_many(propto, jacobian, n, unc, lp,
                                                         first_failure, prints);
    if (failures > 0) set_error(err, function, first_failure.c_str());
    return failures;
  });
}

int bs_x_pyrobma_param_constrain_many(const bs_model* model, bool include_tp, int n,
                                      const double* unc, double* con, char** err) {
  return guarded("param_constrain_many", err, -1, [&](Prints& prints) {
    check_batch(n, {unc, con});
    checked(model).constrain_many(include_tp, n, unc, con, prints);
    return 0;
  });
}

int bs_x_pyrobma_param_unconstrain_many(const bs_model* model, int n, const double* con,
                                        double* unc, char** err) {
  return guarded("param_unconstrain_many", err, -1, [&](Prints& prints) {
    check_batch(n, {con, unc});
    checked(model).unconstrain_many(n, con, unc, prints);
    return 0;
  });
}

}  // extern "C"
