// A program with its data: what the C functions forward to. Members throw.

#ifndef PYROBMA_RUNTIME_LIBRARY_MODEL_HPP
#define PYROBMA_RUNTIME_LIBRARY_MODEL_HPP

#include <memory>
#include <string>

#include <stan/services/util/create_rng.hpp>

#include "bridge.h"
#include "prints.hpp"

// Declared only: most of the compile time is in the definition.
namespace stan::model {
class model_base;
}

struct bs_rng {
  explicit bs_rng(unsigned int seed)
      : state(stan::services::util::create_rng(seed, 0)) {}

  stan::rng_t state;
};

struct bs_model {
 public:
  bs_model(const char* data, unsigned int seed, pyrobma::Prints& prints);
  ~bs_model();
  bs_model(const bs_model&) = delete;
  bs_model& operator=(const bs_model&) = delete;

  const std::string& name() const { return name_; }
  const std::string& info() const { return info_; }
  const std::string& names(bool tp, bool gq) const { return names_[tp][gq].joined; }
  const std::string& unc_names() const { return unc_names_.joined; }
  int num(bool tp, bool gq) const { return names_[tp][gq].count; }
  int unc_num() const { return unc_names_.count; }

  void constrain(bool tp, bool gq, const double* unc, double* con, bs_rng* rng,
                 pyrobma::Prints& prints) const;
  void unconstrain(const double* con, double* unc, pyrobma::Prints& prints) const;
  void unconstrain_json(const char* json, double* unc, pyrobma::Prints& prints) const;
  void initialize(const char* json, bs_rng* rng, double radius, int max_tries,
                  bool jacobian, double* unc, pyrobma::Prints& prints) const;

  double log_density(bool propto, bool jacobian, const double* unc,
                     pyrobma::Prints& prints) const;
  double gradient(bool propto, bool jacobian, const double* unc, double* grad,
                  pyrobma::Prints& prints) const;
  double hessian(bool propto, bool jacobian, const double* unc, double* grad,
                 double* hess, pyrobma::Prints& prints) const;
  double hessian_vector_product(bool propto, bool jacobian, const double* unc,
                                const double* v, double* hvp,
                                pyrobma::Prints& prints) const;

  // How many points failed; `first_failure` holds the message of the first.
  int log_density_many(bool propto, bool jacobian, int n, const double* unc, double* lp,
                       std::string& first_failure, pyrobma::Prints& prints) const;
  void constrain_many(bool tp, int n, const double* unc, double* con,
                      pyrobma::Prints& prints) const;
  void unconstrain_many(int n, const double* con, double* unc,
                        pyrobma::Prints& prints) const;

 private:
  struct Names {
    std::string joined;
    int count = 0;
  };

  std::unique_ptr<stan::model::model_base> program_;
  std::string name_;
  std::string info_;
  Names names_[2][2];  // by include_tp, include_gq
  Names unc_names_;
};

#endif
