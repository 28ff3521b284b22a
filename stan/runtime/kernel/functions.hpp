// What the files of stan/runtime/kernel/functions declare, for the programs: Stan's
// variables in, one node of the expression graph out.
#ifndef PYROBMA_KERNEL_FUNCTIONS_HPP
#define PYROBMA_KERNEL_FUNCTIONS_HPP

#include <ostream>
#include <stan/math.hpp>
#include <type_traits>
#include <vector>

#include "counted.hpp"
#include "likelihood.hpp"

namespace pyrobma {

// The unknowns of a call in one array, in the order of `Unknowns`.
template <typename T, typename M, typename C, typename A, typename D, typename W,
          typename B, typename O>
class Arguments {
 public:
  Arguments(const M& mu, const C& coef, const A& amount, const D& tau_coef,
            const W& within, const B& between, const O& omega)
      : coef_(coef.size()), tau_coef_(tau_coef.size()), omega_(omega.size()) {
    add(mu);
    for (int i = 0; i < coef_; ++i) add(coef.coeff(i));
    add(amount);
    for (int i = 0; i < tau_coef_; ++i) add(tau_coef.coeff(i));
    add(within);
    add(between);
    for (int i = 0; i < omega_; ++i) add(omega.coeff(i));
  }

  Unknowns<const double> values() const { return at(values_.data()); }
  int intervals() const { return omega_; }
  const double* omega() const { return values().omega; }

  // The result of `compute`, which gets the gradient's places or nothing.
  template <typename F>
  T result(const F& compute) const {
    if constexpr (std::is_same<T, double>::value) {
      return compute(static_cast<const Unknowns<double>*>(nullptr));
    } else {
      std::vector<double> gradient(values_.size(), 0.0);
      const Unknowns<double> places = at(gradient.data());
      const double value = compute(&places);
      std::vector<double> free;
      free.reserve(variables_.size());
      for (const int place : places_) free.push_back(gradient[place]);
      return stan::math::precomputed_gradients(value, variables_, free);
    }
  }

 private:
  void add(double value) { values_.push_back(value); }
  void add(const stan::math::var& variable) {
    places_.push_back(static_cast<int>(values_.size()));
    variables_.push_back(variable);
    values_.push_back(variable.val());
  }

  template <typename Number>
  Unknowns<Number> at(Number* first) const {
    Number* amount = first + 1 + coef_;
    Number* next = amount + 1 + tau_coef_;
    return {first, first + 1, amount, amount + 1, next, next + 1, next + 2};
  }

  int coef_;
  int tau_coef_;
  int omega_;
  std::vector<double> values_;
  std::vector<int> places_;
  std::vector<stan::math::var> variables_;
};

template <typename Y, typename X, typename Cut>
SelectedRows selected_rows(const Y& y, const Y& v, const Y& intercept, const Y& loading,
                           const X& x, const X& bias, const X& w, const Cut& cut) {
  return {static_cast<int>(y.size()),
          static_cast<int>(x.cols()),
          static_cast<int>(bias.cols()),
          static_cast<int>(w.cols()),
          y.data(),
          v.data(),
          intercept.data(),
          loading.data(),
          x.data(),
          bias.data(),
          w.data(),
          cut.data()};
}

// Vectors one after the other, as plain numbers and, where they vary, as variables.
template <typename T>
class Operands {
 public:
  template <typename First, typename... More>
  explicit Operands(const First& first, const More&... more) : size_(first.size()) {
    add(first);
    (add(more), ...);
  }

  const double* values(int which) const { return values_.data() + which * size_; }

  // The result of `compute`, which gets the gradient's places or nothing.
  template <typename F>
  T result(const F& compute) const {
    if constexpr (std::is_same<T, double>::value) {
      return compute(static_cast<double*>(nullptr));
    } else {
      std::vector<double> gradient(values_.size());
      const double value = compute(gradient.data());
      return stan::math::precomputed_gradients(value, variables_, gradient);
    }
  }

 private:
  template <typename Vector>
  void add(const Vector& vector) {
    for (int i = 0; i < size_; ++i) {
      const T element = vector.coeff(i);
      values_.push_back(stan::math::value_of(element));
      if constexpr (!std::is_same<T, double>::value) variables_.push_back(element);
    }
  }

  int size_;
  std::vector<double> values_;
  std::vector<stan::math::var> variables_;
};

}  // namespace pyrobma

template <typename M, typename S, typename N, typename P>
stan::return_type_t<M, S> counted_alone(const M& mean, const S& sd, int refinement,
                                        const N& knot, const P& piece,
                                        const std::vector<int>& first,
                                        const std::vector<int>& size, std::ostream*) {
  const pyrobma::Operands<stan::return_type_t<M, S>> operands(mean, sd);
  const int K = static_cast<int>(mean.size());
  return operands.result([&](double* gradient) {
    return pyrobma::counted_alone(
        {knot.data(), piece.data(), first.data(), size.data()}, K, operands.values(0),
        operands.values(1), refinement, gradient, gradient ? gradient + K : nullptr);
  });
}

template <typename M, typename S, typename L, typename R, typename N, typename P>
stan::return_type_t<M, S, L> counted_clusters(
    const M& mean, const S& sd, const L& load, const std::vector<int>& start,
    const std::vector<int>& number, const R& node, const R& log_weight, int refinement,
    const N& knot, const P& piece, const std::vector<int>& first,
    const std::vector<int>& size, std::ostream*) {
  const pyrobma::Operands<stan::return_type_t<M, S, L>> operands(mean, sd, load);
  const int K = static_cast<int>(mean.size());
  return operands.result([&](double* gradient) {
    return pyrobma::counted_clusters(
        {knot.data(), piece.data(), first.data(), size.data()},
        static_cast<int>(start.size()), start.data(), number.data(), operands.values(0),
        operands.values(1), operands.values(2),
        {static_cast<int>(node.size()), node.data(), log_weight.data()}, refinement,
        gradient, gradient ? gradient + K : nullptr,
        gradient ? gradient + 2 * K : nullptr);
  });
}

template <typename Y, typename X, typename Cut, typename N, typename M, typename C,
          typename A, typename D, typename W, typename B, typename O>
stan::return_type_t<M, C, A, D, W, B, O> selected_clusters(
    const Y& y, const Y& v, const Y& intercept, const Y& loading, const X& x,
    const X& bias, const Cut& cut, const std::vector<int>& start,
    const std::vector<int>& size, const N& node, const N& log_weight, const M& mu,
    const C& coef, const A& amount, const D& tau_coef, const X& w, const W& within,
    const B& root, const O& omega, int lowest, int sides, double scale, int plain,
    int exact, int from, int to, std::ostream*) {
  using T = stan::return_type_t<M, C, A, D, W, B, O>;
  const pyrobma::Arguments<T, M, C, A, D, W, B, O> arguments(
      mu, coef, amount, tau_coef, within, root, omega);
  const auto rows = pyrobma::selected_rows(y, v, intercept, loading, x, bias, w, cut);
  const pyrobma::Clusters clusters = {static_cast<int>(start.size()),
                                      start.data(),
                                      size.data(),
                                      static_cast<int>(node.size()),
                                      node.data(),
                                      log_weight.data()};
  return arguments.result([&](const pyrobma::Unknowns<double>* gradient) {
    return pyrobma::selected_clusters(
        rows, {scale, plain, exact, from, to}, clusters,
        {arguments.intervals(), sides, lowest - 1, arguments.omega()},
        arguments.values(), gradient);
  });
}

template <typename Y, typename X, typename Cut, typename M, typename C, typename A,
          typename D, typename W, typename B, typename O>
stan::return_type_t<M, C, A, D, W, B, O> selected_alone(
    const Y& y, const Y& v, const Y& intercept, const Y& loading, const X& x,
    const X& bias, const Cut& cut, const M& mu, const C& coef, const A& amount,
    const D& tau_coef, const X& w, const W& within, const B& rho, const O& omega,
    int lowest, int sides, double scale, int plain, int exact, int from, int to,
    std::ostream*) {
  using T = stan::return_type_t<M, C, A, D, W, B, O>;
  const pyrobma::Arguments<T, M, C, A, D, W, B, O> arguments(
      mu, coef, amount, tau_coef, within, rho, omega);
  const auto rows = pyrobma::selected_rows(y, v, intercept, loading, x, bias, w, cut);
  return arguments.result([&](const pyrobma::Unknowns<double>* gradient) {
    return pyrobma::selected_alone(
        rows, {scale, plain, exact, from, to},
        {arguments.intervals(), sides, lowest - 1, arguments.omega()},
        arguments.values(), gradient);
  });
}

#endif
