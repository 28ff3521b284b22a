#include "likelihood.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

namespace pyrobma {

namespace {

const double LOG_TWO_PI = std::log(2 * M_PI);
const double LOGIT_PER_D = M_PI / std::sqrt(3.0);

struct Converted {
  double value;
  double slope;
};

// See convert_effects in stan/functions/measures.stanfunctions.
Converted convert_effect(double x, int from, int to) {
  if (from == to) return {x, 1};
  Converted d = {x, 1};
  if (from == 2) {
    d = {2 * std::sinh(x), 2 * std::cosh(x)};
  } else if (from == 3) {
    const double rest = 1 - x * x;
    d = {2 * x / std::sqrt(rest), 2 / (rest * std::sqrt(rest))};
  } else if (from == 4) {
    d = {x / LOGIT_PER_D, 1 / LOGIT_PER_D};
  }
  const double square = d.value * d.value + 4;
  if (to == 2) return {std::asinh(d.value / 2), d.slope / std::sqrt(square)};
  if (to == 3) {
    return {d.value / std::sqrt(square), 4 * d.slope / (square * std::sqrt(square))};
  }
  if (to == 4) return {d.value * LOGIT_PER_D, d.slope * LOGIT_PER_D};
  return d;
}

// What is computed of each estimate, and the derivatives by it.
struct Columns {
  std::vector<double> slope, mean, ratio, amount, variance, unit, load;
  std::vector<double> by_mean, by_variance, by_unit, by_load;
  std::vector<double> node, log_weight, room;

  void resize(int K) {
    for (auto* column : {&slope, &mean, &ratio, &amount, &variance, &unit, &load}) {
      column->resize(K);
    }
    for (auto* column : {&by_mean, &by_variance, &by_unit, &by_load}) {
      column->assign(K, 0.0);
    }
  }

  bool finite() const {
    double total = 0;
    for (std::size_t i = 0; i < mean.size(); ++i) total += 0 * (mean[i] + load[i]);
    for (const double value : unit) total += 0 * value;
    return total == 0;
  }
};

// Kept from call to call, because making room costs as much as a short sum.
Columns& columns() {
  thread_local Columns kept;
  return kept;
}

void find_means(const SelectedRows& rows, const Mapping& map,
                const Unknowns<const double>& at, Columns& c) {
  for (int i = 0; i < rows.K; ++i) {
    double effect = *at.mu;
    if (!map.plain) effect *= rows.intercept[i];
    for (int p = 0; p < rows.P; ++p) effect += at.coef[p] * rows.x[p * rows.K + i];
    Converted found = {map.scale * effect, map.scale};
    if (map.exact) found = convert_effect(effect, map.from, map.to);
    c.mean[i] = found.value;
    c.slope[i] = found.slope;
  }
  for (int b = 0; b < rows.B; ++b) {
    const double* column = rows.bias + b * rows.K;
    for (int i = 0; i < rows.K; ++i) c.mean[i] += at.coef[rows.P + b] * column[i];
  }
}

// Heterogeneity of each estimate, and its ratio to that where the columns are 0.
void find_amounts(const SelectedRows& rows, const Unknowns<const double>& at,
                  Columns& c) {
  for (int i = 0; i < rows.K; ++i) {
    double log_ratio = 0;
    for (int s = 0; s < rows.S; ++s) log_ratio += at.tau_coef[s] * rows.w[s * rows.K + i];
    c.ratio[i] = rows.S > 0 ? std::exp(log_ratio) : 1;
    c.amount[i] = *at.T * c.ratio[i];
  }
}

void add_amount(const SelectedRows& rows, const Columns& c, int i, double by_amount,
                const Unknowns<double>& to) {
  *to.T += c.ratio[i] * by_amount;
  for (int s = 0; s < rows.S; ++s) {
    to.tau_coef[s] += c.amount[i] * by_amount * rows.w[s * rows.K + i];
  }
}

void add_means(const SelectedRows& rows, const Columns& c, const Unknowns<double>& to) {
  for (int i = 0; i < rows.K; ++i) {
    const double by_effect = c.by_mean[i] * c.slope[i];
    *to.mu += by_effect * rows.intercept[i];
    for (int p = 0; p < rows.P; ++p) to.coef[p] += by_effect * rows.x[p * rows.K + i];
    for (int b = 0; b < rows.B; ++b) {
      to.coef[rows.P + b] += c.by_mean[i] * rows.bias[b * rows.K + i];
    }
  }
}

// From derivatives of the sum of logs, by the units, to those of minus the sum, by the
// variances.
void negate(Columns& c, int J, const Unknowns<double>& to) {
  for (std::size_t i = 0; i < c.unit.size(); ++i) {
    c.by_mean[i] = -c.by_mean[i];
    c.by_load[i] = -c.by_load[i];
    c.by_variance[i] = c.by_unit[i] * c.unit[i] * c.unit[i] * c.unit[i];
  }
  for (int j = 0; j < J; ++j) to.omega[j] = -to.omega[j];
}

}  // namespace

double selected_clusters(const SelectedRows& rows, const Mapping& map,
                         const Clusters& clusters, const Steps& steps,
                         const Unknowns<const double>& at,
                         const Unknowns<double>* gradient) {
  const SelectionSums& sums = selection_sums();
  const int K = rows.K;
  Columns& c = columns();
  c.resize(K);
  find_means(rows, map, at, c);
  find_amounts(rows, at, c);
  for (int i = 0; i < K; ++i) {
    const double T = c.amount[i];
    c.variance[i] = rows.v[i] + T * T * *at.within;
    c.unit[i] = 1 / std::sqrt(2 * c.variance[i]);
    c.load[i] = *at.between * T * rows.loading[i];
  }
  if (!c.finite()) return std::numeric_limits<double>::quiet_NaN();

  const int padded = (clusters.Q + sums.lanes - 1) / sums.lanes * sums.lanes;
  c.node.assign(clusters.node, clusters.node + clusters.Q);
  c.node.resize(padded, 0.0);
  c.log_weight.assign(clusters.log_weight, clusters.log_weight + clusters.Q);
  c.log_weight.resize(padded, -std::numeric_limits<double>::infinity());
  const Nodes nodes = {clusters.Q, padded, c.node.data(), c.log_weight.data()};
  const int longest = *std::max_element(clusters.size, clusters.size + clusters.L);
  c.room.resize(cluster_room(longest, steps.J, padded));

  double selected = 0;
  for (int k = 0; k < clusters.L; ++k) {
    const int s = clusters.start[k] - 1;
    const Estimates each = {clusters.size[k],   c.mean.data() + s, c.unit.data() + s,
                            c.load.data() + s, rows.cut + s,      K};
    const Derivatives by = {c.by_mean.data() + s, c.by_unit.data() + s,
                            c.by_load.data() + s, gradient ? gradient->omega : nullptr};
    selected += sums.cluster(steps, each, nodes, gradient ? &by : nullptr, c.room.data());
  }
  if (std::isinf(selected)) {
    if (gradient) std::fill(gradient->omega, gradient->omega + steps.J, 0.0);
    return -selected;
  }
  if (gradient) negate(c, steps.J, *gradient);

  // The normal part; see clustered_normal in stan/functions/clusters.stanfunctions.
  double total = K * LOG_TWO_PI;
  for (int k = 0; k < clusters.L; ++k) {
    const int first = clusters.start[k] - 1;
    const int last = first + clusters.size[k];
    double S = 0, R = 0;
    for (int i = first; i < last; ++i) {
      const double w = 1 / c.variance[i];
      const double r = rows.y[i] - c.mean[i];
      S += w * c.load[i] * c.load[i];
      R += w * c.load[i] * r;
      total += std::log(c.variance[i]) + w * r * r;
    }
    const double d = 1 + S;
    total += std::log(d) - R * R / d;
    if (!gradient) continue;
    const double u = R / d;
    for (int i = first; i < last; ++i) {
      const double w = 1 / c.variance[i];
      const double r = rows.y[i] - c.mean[i];
      const double l = c.load[i];
      const double rest = w * (r - u * l);  // of the inverse times the residuals
      c.by_mean[i] += rest;
      c.by_load[i] += u * rest - w * l / d;
      c.by_variance[i] += 0.5 * (rest * rest - w + w * w * l * l / d);
    }
  }
  if (gradient) {
    add_means(rows, c, *gradient);
    for (int i = 0; i < K; ++i) {
      const double T = c.amount[i];
      const double g = rows.loading[i] * c.by_load[i];
      const double by_T = 2 * T * *at.within * c.by_variance[i] + *at.between * g;
      add_amount(rows, c, i, by_T, *gradient);
      *gradient->within += T * T * c.by_variance[i];
      *gradient->between += T * g;
    }
  }
  return -0.5 * total - selected;
}

double selected_alone(const SelectedRows& rows, const Mapping& map, const Steps& steps,
                      const Unknowns<const double>& at,
                      const Unknowns<double>* gradient) {
  const SelectionSums& sums = selection_sums();
  const int K = rows.K;
  Columns& c = columns();
  c.resize(K);
  find_means(rows, map, at, c);
  find_amounts(rows, at, c);
  // The part of T^2 that an estimate has; see alone_variances.
  const auto share = [&](int i) {
    const double square = rows.loading[i] * rows.loading[i];
    return map.plain ? 1.0 : *at.within + *at.between * square;
  };
  for (int i = 0; i < K; ++i) {
    c.variance[i] = rows.v[i] + c.amount[i] * c.amount[i] * share(i);
    c.unit[i] = 1 / std::sqrt(2 * c.variance[i]);
    c.load[i] = 0;
  }
  if (!c.finite()) return std::numeric_limits<double>::quiet_NaN();
  c.room.resize(independent_room(steps.J));
  const Estimates all = {K, c.mean.data(), c.unit.data(), nullptr, rows.cut, K};
  const Derivatives by = {c.by_mean.data(), c.by_unit.data(), nullptr,
                          gradient ? gradient->omega : nullptr};
  const double selected =
      sums.independent(steps, all, gradient ? &by : nullptr, c.room.data());
  double total = K * LOG_TWO_PI;
  for (int i = 0; i < K; ++i) {
    const double r = rows.y[i] - c.mean[i];
    total += std::log(c.variance[i]) + r * r / c.variance[i];
  }
  if (gradient) {
    negate(c, steps.J, *gradient);
    for (int i = 0; i < K; ++i) {
      const double w = 1 / c.variance[i];
      const double wr = w * (rows.y[i] - c.mean[i]);
      c.by_mean[i] += wr;
      c.by_variance[i] += 0.5 * (wr * wr - w);
    }
    add_means(rows, c, *gradient);
    for (int i = 0; i < K; ++i) {
      const double T = c.amount[i];
      add_amount(rows, c, i, 2 * T * share(i) * c.by_variance[i], *gradient);
      if (map.plain) continue;
      *gradient->within += T * T * c.by_variance[i];
      *gradient->between += T * T * rows.loading[i] * rows.loading[i] * c.by_variance[i];
    }
  }
  return -0.5 * total - selected;
}

}  // namespace pyrobma
