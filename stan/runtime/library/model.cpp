#include "model.hpp"

#include <algorithm>
#include <cmath>
#include <exception>
#include <fstream>
#include <iterator>
#include <limits>
#include <mutex>
#include <sstream>
#include <stdexcept>
#include <vector>

#include <stan/io/chained_var_context.hpp>
#include <stan/io/empty_var_context.hpp>
#include <stan/io/json/json_data.hpp>
#include <stan/io/random_var_context.hpp>
#include <stan/model/model_base.hpp>
#include <stan/version.hpp>

// Defined at global scope by every program that stanc translates.
stan::model::model_base& new_model(stan::io::var_context& data, unsigned int seed,
                                   std::ostream* prints);

namespace {

using Eigen::VectorXd;
using ConstMap = Eigen::Map<const VectorXd>;
using VarVector = Eigen::Matrix<stan::math::var, Eigen::Dynamic, 1>;
using pyrobma::Prints;
using Program = stan::model::model_base;

// Without STAN_THREADS the tape of reverse-mode differentiation is one per library.
std::mutex tape_mutex;
using TapeLock = std::lock_guard<std::mutex>;

bool is_empty(const char* text) { return text == nullptr || *text == '\0'; }

std::unique_ptr<stan::io::var_context> read_context(std::istream& stream) {
  return std::make_unique<stan::json::json_data>(stream);
}

std::unique_ptr<stan::io::var_context> read_text(const char* json) {
  if (is_empty(json)) return std::make_unique<stan::io::empty_var_context>();
  std::istringstream stream(json);
  return read_context(stream);
}

std::unique_ptr<stan::io::var_context> read_data(const char* data) {
  const std::string text = is_empty(data) ? "" : data;
  const std::string suffix = ".json";
  const bool is_path = text.size() >= suffix.size()
                       && text.compare(text.size() - suffix.size(), suffix.size(),
                                       suffix) == 0;
  if (!is_path) return read_text(data);
  std::ifstream stream(text);
  if (!stream)
    throw std::invalid_argument("data: expected a readable JSON file; got \"" + text
                                + "\", which cannot be opened. Check the path.");
  return read_context(stream);
}

std::string join(const std::vector<std::string>& words, const char* separator) {
  std::string joined;
  for (const std::string& word : words) {
    if (&word != &words.front()) joined += separator;
    joined += word;
  }
  return joined;
}

std::string describe(const Program& program) {
#ifdef STAN_THREADS
  const char* threads = "true";
#else
  const char* threads = "false";
#endif
#ifdef STAN_NO_RANGE_CHECKS
  const char* no_range_checks = "true";
#else
  const char* no_range_checks = "false";
#endif
  std::ostringstream text;
  // Clients look for the version at the start of the first line.
  text << "BridgeStan version: " << bs_major_version << '.' << bs_minor_version << '.'
       << bs_patch_version << " (its C interface, as pyrobma's Stan runtime has it)"
       << "\nStan version: " << stan::MAJOR_VERSION << '.' << stan::MINOR_VERSION << '.'
       << stan::PATCH_VERSION
       << "\nStan C++ Defines:"
       << "\n\tSTAN_THREADS=" << threads
       << "\n\tSTAN_MPI=false"
       << "\n\tSTAN_OPENCL=false"
       << "\n\tSTAN_NO_RANGE_CHECKS=" << no_range_checks
       << "\n\tSTAN_CPP_OPTIMS=false"
       << "\n\tBRIDGESTAN_AD_HESSIAN=false"
       << "\nStan Compiler Details:";
  for (const std::string& detail : program.model_compile_info())
    text << "\n\t" << detail;
  text << '\n';
  return text.str();
}

double plain_density(const Program& program, bool jacobian, VectorXd& x,
                     Prints& prints) {
  return jacobian ? program.log_prob_jacobian(x, prints.stream())
                  : program.log_prob(x, prints.stream());
}

stan::math::var density(const Program& program, bool propto, bool jacobian,
                        VarVector& x, Prints& prints) {
  if (propto)
    return jacobian ? program.log_prob_propto_jacobian(x, prints.stream())
                    : program.log_prob_propto(x, prints.stream());
  return jacobian ? program.log_prob_jacobian(x, prints.stream())
                  : program.log_prob(x, prints.stream());
}

// The caller holds the tape.
double tape_density(const Program& program, bool propto, bool jacobian,
                    const VectorXd& x, Prints& prints) {
  stan::math::nested_rev_autodiff nested;
  VarVector x_var(x);
  return density(program, propto, jacobian, x_var, prints).val();
}

// The caller holds the tape.
double tape_gradient(const Program& program, bool propto, bool jacobian,
                     const VectorXd& x, VectorXd& grad, Prints& prints) {
  stan::math::nested_rev_autodiff nested;
  VarVector x_var(x);
  stan::math::var lp = density(program, propto, jacobian, x_var, prints);
  stan::math::grad(lp.vi_);
  grad = x_var.adj();
  return lp.val();
}

// Balances truncation and rounding in a central difference of exact gradients.
double relative_step() {
  static const double step = std::cbrt(std::numeric_limits<double>::epsilon());
  return step;
}

void check_size(const char* what, Eigen::Index got, int expected) {
  if (got != expected)
    throw std::logic_error(std::string(what) + ": expected "
                           + std::to_string(expected) + " values; the program wrote "
                           + std::to_string(got) + ".");
}

[[noreturn]] void rethrow_with_row(int row, const std::exception& e) {
  throw std::runtime_error("at row " + std::to_string(row) + " (counted from 0): "
                           + e.what());
}

// The generator that write_array asks for and does not use without generated
// quantities; making one per call would cost more than the transform.
stan::rng_t& unused_rng() {
  static stan::rng_t rng = stan::services::util::create_rng(0, 0);
  return rng;
}

}  // namespace

bs_model::bs_model(const char* data, unsigned int seed, Prints& prints) {
  std::unique_ptr<stan::io::var_context> context = read_data(data);
  {
    TapeLock lock(tape_mutex);
    program_.reset(&new_model(*context, seed, prints.stream()));
  }
  name_ = program_->model_name();
  info_ = describe(*program_);
  const auto named = [](const std::vector<std::string>& names) {
    return Names{join(names, ","), static_cast<int>(names.size())};
  };
  std::vector<std::string> names;
  for (const bool tp : {false, true}) {
    for (const bool gq : {false, true}) {
      names.clear();
      program_->constrained_param_names(names, tp, gq);
      names_[tp][gq] = named(names);
    }
  }
  names.clear();
  program_->unconstrained_param_names(names, false, false);
  unc_names_ = named(names);
  unc_names_.count = static_cast<int>(program_->num_params_r());
}

bs_model::~bs_model() = default;

void bs_model::constrain(bool tp, bool gq, const double* unc, double* con, bs_rng* rng,
                         Prints& prints) const {
  if (gq && rng == nullptr)
    throw std::invalid_argument(
        "rng: expected a random number generator with include_gq; got NULL.");
  VectorXd x = ConstMap(unc, unc_num());
  VectorXd written;
  stan::rng_t& state = gq ? rng->state : unused_rng();
  program_->write_array(state, x, written, tp, gq, prints.stream());
  check_size("param_constrain", written.size(), num(tp, gq));
  std::copy_n(written.data(), written.size(), con);
}

void bs_model::unconstrain(const double* con, double* unc, Prints& prints) const {
  const VectorXd constrained = ConstMap(con, num(false, false));
  VectorXd x;
  program_->unconstrain_array(constrained, x, prints.stream());
  check_size("param_unconstrain", x.size(), unc_num());
  std::copy_n(x.data(), x.size(), unc);
}

void bs_model::unconstrain_json(const char* json, double* unc, Prints& prints) const {
  const std::unique_ptr<stan::io::var_context> context = read_text(json);
  VectorXd x(unc_num());
  program_->transform_inits(*context, x, prints.stream());
  check_size("param_unconstrain_json", x.size(), unc_num());
  std::copy_n(x.data(), x.size(), unc);
}

void bs_model::initialize(const char* json, bs_rng* rng, double radius, int max_tries,
                          bool jacobian, double* unc, Prints& prints) const {
  if (rng == nullptr)
    throw std::invalid_argument("rng: expected a random number generator; got NULL.");
  if (!(radius >= 0) || !std::isfinite(radius))
    throw std::invalid_argument("init_radius: expected a finite number of at least 0; "
                                "got " + std::to_string(radius) + ".");
  if (max_tries < 1)
    throw std::invalid_argument("max_tries: expected at least 1; got "
                                + std::to_string(max_tries) + ".");

  const std::unique_ptr<stan::io::var_context> given = read_text(json);
  std::vector<std::string> parameters;
  program_->get_param_names(parameters, false, false);
  const auto is_given
      = [&](const std::string& name) { return given->contains_r(name); };
  const bool all_given = std::all_of(parameters.begin(), parameters.end(), is_given);
  const bool any_given = std::any_of(parameters.begin(), parameters.end(), is_given);
  const bool at_zero = radius == 0;
  // A second attempt at the same point would fail as the first did.
  const int tries = all_given || at_zero ? 1 : max_tries;

  std::string reason;
  VectorXd x(unc_num());
  VectorXd grad;
  for (int attempt = 0; attempt < tries; ++attempt) {
    try {
      stan::io::random_var_context drawn(*program_, rng->state, radius, at_zero);
      if (any_given) {
        stan::io::chained_var_context context(*given, drawn);
        program_->transform_inits(context, x, prints.stream());
      } else {
        const std::vector<double> point = drawn.get_unconstrained();
        x = ConstMap(point.data(), unc_num());
      }
      double lp;
      {
        TapeLock lock(tape_mutex);
        lp = tape_gradient(*program_, false, jacobian, x, grad, prints);
      }
      if (!std::isfinite(lp)) {
        reason = std::string("the log density is ")
                 + (std::isnan(lp) ? "nan." : lp > 0 ? "inf." : "-inf.");
      } else if (!grad.allFinite()) {
        reason = "the gradient of the log density is not finite.";
      } else {
        std::copy_n(x.data(), x.size(), unc);
        return;
      }
    } catch (const std::domain_error& e) {
      // What a program throws to reject a point; other errors would come again.
      reason = e.what();
    }
  }
  std::ostringstream message;
  message << "Initialization failed after " << tries
          << (tries == 1 ? " attempt" : " attempts");
  if (!all_given) message << " with init_radius " << radius;
  message << ". Give initial values, or change the radius. At the last attempt: "
          << reason;
  throw std::domain_error(message.str());
}

double bs_model::log_density(bool propto, bool jacobian, const double* unc,
                             Prints& prints) const {
  VectorXd x = ConstMap(unc, unc_num());
  if (!propto) return plain_density(*program_, jacobian, x, prints);
  // On plain numbers every term would count as constant and be dropped.
  TapeLock lock(tape_mutex);
  return tape_density(*program_, propto, jacobian, x, prints);
}

double bs_model::gradient(bool propto, bool jacobian, const double* unc, double* grad,
                          Prints& prints) const {
  const VectorXd x = ConstMap(unc, unc_num());
  VectorXd g;
  double lp;
  {
    TapeLock lock(tape_mutex);
    lp = tape_gradient(*program_, propto, jacobian, x, g, prints);
  }
  std::copy_n(g.data(), g.size(), grad);
  return lp;
}

double bs_model::hessian(bool propto, bool jacobian, const double* unc, double* grad,
                         double* hess, Prints& prints) const {
  const int dimension = unc_num();
  const VectorXd x = ConstMap(unc, dimension);
  VectorXd g, above, below;
  Eigen::MatrixXd columns(dimension, dimension);
  double lp;
  {
    TapeLock lock(tape_mutex);
    lp = tape_gradient(*program_, propto, jacobian, x, g, prints);
    for (int i = 0; i < dimension; ++i) {
      const double step = relative_step() * std::max(1.0, std::abs(x[i]));
      VectorXd moved = x;
      moved[i] = x[i] + step;
      const double high = moved[i];
      tape_gradient(*program_, propto, jacobian, moved, above, prints);
      moved[i] = x[i] - step;
      tape_gradient(*program_, propto, jacobian, moved, below, prints);
      // The step as rounded, not as wished.
      columns.col(i) = (above - below) / (high - moved[i]);
    }
  }
  std::copy_n(g.data(), g.size(), grad);
  Eigen::Map<Eigen::MatrixXd>(hess, dimension, dimension)
      = 0.5 * (columns + columns.transpose());
  return lp;
}

double bs_model::hessian_vector_product(bool propto, bool jacobian, const double* unc,
                                        const double* v, double* hvp,
                                        Prints& prints) const {
  const int dimension = unc_num();
  const VectorXd x = ConstMap(unc, dimension);
  const ConstMap direction(v, dimension);
  const double length = direction.norm();
  VectorXd g, above, below;
  VectorXd product = VectorXd::Zero(dimension);
  double lp;
  {
    TapeLock lock(tape_mutex);
    // A gradient, not a density of plain numbers: those lose every propto term.
    lp = tape_gradient(*program_, propto, jacobian, x, g, prints);
    if (length > 0) {
      const double step = relative_step() * (1 + x.norm()) / length;
      tape_gradient(*program_, propto, jacobian, x + step * direction, above, prints);
      tape_gradient(*program_, propto, jacobian, x - step * direction, below, prints);
      product = (above - below) / (2 * step);
    }
  }
  std::copy_n(product.data(), product.size(), hvp);
  return lp;
}

int bs_model::log_density_many(bool propto, bool jacobian, int n, const double* unc,
                               double* lp, std::string& first_failure,
                               Prints& prints) const {
  const std::size_t dimension = unc_num();
  VectorXd x(unc_num());
  int failures = 0;
  for (int row = 0; row < n; ++row) {
    std::copy_n(unc + row * dimension, dimension, x.data());
    try {
      if (propto) {
        TapeLock lock(tape_mutex);
        lp[row] = tape_density(*program_, propto, jacobian, x, prints);
      } else {
        lp[row] = plain_density(*program_, jacobian, x, prints);
      }
    } catch (const std::exception& e) {
      lp[row] = std::numeric_limits<double>::quiet_NaN();
      if (failures++ == 0)
        first_failure
            = "at row " + std::to_string(row) + " (counted from 0): " + e.what();
    }
    prints.deliver();
  }
  return failures;
}

void bs_model::constrain_many(bool tp, int n, const double* unc, double* con,
                              Prints& prints) const {
  const std::size_t dimension = unc_num();
  const std::size_t width = num(tp, false);
  VectorXd x(unc_num());
  VectorXd written;
  for (int row = 0; row < n; ++row) {
    std::copy_n(unc + row * dimension, dimension, x.data());
    try {
      program_->write_array(unused_rng(), x, written, tp, false, prints.stream());
      check_size("param_constrain_many", written.size(), num(tp, false));
    } catch (const std::exception& e) {
      rethrow_with_row(row, e);
    }
    std::copy_n(written.data(), width, con + row * width);
    prints.deliver();
  }
}

void bs_model::unconstrain_many(int n, const double* con, double* unc,
                                Prints& prints) const {
  const std::size_t dimension = unc_num();
  const std::size_t width = num(false, false);
  VectorXd constrained(num(false, false));
  VectorXd x;
  for (int row = 0; row < n; ++row) {
    std::copy_n(con + row * width, width, constrained.data());
    try {
      program_->unconstrain_array(constrained, x, prints.stream());
      check_size("param_unconstrain_many", x.size(), unc_num());
    } catch (const std::exception& e) {
      rethrow_with_row(row, e);
    }
    std::copy_n(x.data(), dimension, unc + row * dimension);
    prints.deliver();
  }
}
