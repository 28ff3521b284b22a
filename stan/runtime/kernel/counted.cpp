// What stan/functions/counted.stanfunctions computes, and its derivatives: those of the
// sums, with their points where they are.
#include "counted.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

namespace pyrobma {
namespace {

constexpr double REACH = 18;
constexpr double SMALLEST_SD = 1e-100;
constexpr int MANY_STEPS = 100;
constexpr int MOST_STEPS = 20000;
constexpr double HALF_LOG_2_PI = 0.91893853320467274178;

struct Value {
  double log, first, second;
};

// Table of one study; knots count from 0.
struct Study {
  const double* knot;
  const double* piece;
  int size;

  // How many knots are not above an effect.
  int below(double d) const {
    return static_cast<int>(std::upper_bound(knot, knot + size, d) - knot);
  }

  // The same, looked for from nearby.
  int below(double d, int near) const {
    while (near > 0 && knot[near - 1] > d) --near;
    while (near < size && knot[near] <= d) ++near;
    return near;
  }

  Value at(double d, int below) const {
    const int j = std::max(below, 1) - 1;
    const double* c = piece + 6 * j;
    const double t = d - knot[j];
    if (below == 0) return {c[0] + t * c[1], c[1], 0};
    return {
        c[0] + t * (c[1] + t * (c[2] + t * (c[3] + t * (c[4] + t * c[5])))),
        c[1] + t * (2 * c[2] + t * (3 * c[3] + t * (4 * c[4] + t * 5 * c[5]))),
        2 * c[2] + t * (6 * c[3] + t * (12 * c[4] + t * 20 * c[5]))};
  }
};

Study study(const Tables& tables, int i) {
  const int first = tables.first[i] - 1;
  return {tables.knot + first, tables.piece + 6 * static_cast<long>(first),
          tables.size[i]};
}

// Of one study given mean m and standard deviation s of its true effect.
class Integrand {
 public:
  Integrand(const Study& study, double m, double s) : study_(study), m_(m), s_(s) {}

  // Log of it, but for a constant, and derivatives, at z; `below` is about how many
  // knots are not above z, and is that afterwards.
  Value at(double z, int& below) const {
    const double d = m_ + s_ * z;
    below = study_.below(d, below);
    const Value h = study_.at(d, below);
    return {h.log - 0.5 * z * z, s_ * h.first - z, s_ * s_ * h.second - 1};
  }

  double mode(int& below) const {
    const double* knot = study_.knot;
    const double* piece = study_.piece;
    int low = 0;
    int high = study_.size + 1;
    while (high - low > 1) {
      const int middle = (low + high) / 2;
      if (knot[middle - 1] - m_ <= s_ * s_ * piece[6 * (middle - 1) + 1]) {
        low = middle;
      } else {
        high = middle;
      }
    }
    below = low;
    if (low == 0 || low == study_.size) {
      return s_ * piece[6 * (std::max(low, 1) - 1) + 1];
    }
    const int j = low - 1;
    const double left = (knot[j] - m_) / s_;
    const double right = (knot[j + 1] - m_) / s_;
    const double before = s_ * piece[6 * j + 1] - left;
    const double after = s_ * piece[6 * (j + 1) + 1] - right;
    double z = left + (right - left) * before / (before - after);
    for (int step = 0; step < 2; ++step) {
      const Value here = at(z, below);
      z = std::fmin(std::fmax(z - here.first / here.second, left), right);
    }
    return z;
  }

  // Where it has fallen to `floor` above (side 1) or below (side -1) its mode z, that
  // has so many knots not above it.
  double end(double z, int side, double floor, double reach, int& below) const {
    const double* knot = study_.knot;
    double end = z + side * std::sqrt(2 * reach);
    int j = side == 1 ? below : below - 1;
    for (; j >= 0 && j < study_.size; j += side) {
      const double there = (knot[j] - m_) / s_;
      if (!(side * (there - end) < 0)) break;
      if (study_.piece[6 * j] - 0.5 * there * there < floor) end = there;
    }
    below = side == 1 ? j : j + 1;
    for (int n = 0; n < 2; ++n) {
      const Value here = at(end, below);
      end -= (here.log - floor) / here.first;
    }
    return end;
  }

 private:
  const Study& study_;
  double m_, s_;
};

// Log of an integral over a true effect, and its derivatives: two by the mean, one by the
// standard deviation.
struct Integral {
  double log, by_mean, by_mean_twice, by_sd;
};

// Where a log likelihood bends, and over which distance.
struct Bend {
  double centre, spread;
};

Bend bend(const Study& study) {
  double sum = 0, first = 0, second = 0;
  for (int j = 0; j < study.size - 1; ++j) {
    const double middle = 0.5 * (study.knot[j] + study.knot[j + 1]);
    const double change = study.piece[6 * j + 1] - study.piece[6 * j + 7];
    sum += change;
    first += change * middle;
    second += change * middle * middle;
  }
  if (!(sum > 0)) return {0, 0};
  const double centre = first / sum;
  return {centre, std::sqrt(std::fmax(second / sum - centre * centre, 0))};
}

// Sums over the points of an integral, with the density of each.
struct Sums {
  double total = 0, slope = 0, square = 0, curvature = 0, sloped = 0;

  void add(const Value& h, double log, double z) {
    const double p = std::exp(h.log + log);
    total += p;
    slope += p * h.first;
    square += p * h.first * h.first;
    curvature += p * h.second;
    sloped += p * z * h.first;
  }

  Integral integral(double log) const {
    const double mean = slope / total;
    return {log + std::log(total) - HALF_LOG_2_PI, mean,
            (curvature + square) / total - mean * mean, sloped / total};
  }
};

Integral integral(const Study& study, double m, double s, int refinement) {
  if (s < SMALLEST_SD) {
    const Value h = study.at(m, study.below(m));
    return {h.log, h.first, h.second, 0};
  }
  const Integrand integrand(study, m, s);
  const double reach = REACH * refinement;
  int below;
  const double z = integrand.mode(below);
  const Value top = integrand.at(z, below);
  int beyond = below;
  double right = integrand.end(z, 1, top.log - reach, reach, beyond);
  double left = integrand.end(z, -1, top.log - reach, reach, below);
  const double widest = refinement * std::sqrt(-top.second + s * s / 0.64);
  Sums sums;
  double steps = std::ceil((right - left) * widest);
  if (steps <= MANY_STEPS) {
    const int n = std::max(1, static_cast<int>(steps));
    const double width = (right - left) / n;
    below = study.below(m + s * left, below);
    for (int k = 0; k <= n; ++k) {
      const double z = left + k * width;
      const double d = m + s * z;
      while (below < study.size && study.knot[below] <= d) ++below;
      sums.add(study.at(d, below), -0.5 * z * z - top.log, z);
    }
    return sums.integral(top.log + std::log(width));
  }
  // Points equidistant in t with effects centre + sinh(t).
  const Bend where = bend(study);
  left = m + s * left - where.centre;
  right = m + s * right - where.centre;
  const double step =
      std::fmin(std::fmin(0.25, 0.8 / std::sqrt(1 + 4 * where.spread * where.spread)),
                1.5 * s / std::sqrt(-top.second) /
                    std::fmax(std::fabs(left), std::fabs(right))) /
      refinement;
  left = std::asinh(left);
  right = std::asinh(right);
  steps = std::ceil((right - left) / step);
  const int n = steps < MOST_STEPS ? std::max(1, static_cast<int>(steps)) : MOST_STEPS;
  const double width = (right - left) / n;
  below = study.below(where.centre + std::sinh(left));
  for (int k = 0; k <= n; ++k) {
    const double t = left + k * width;
    const double d = where.centre + std::sinh(t);
    const double z = (d - m) / s;
    while (below < study.size && study.knot[below] <= d) ++below;
    sums.add(study.at(d, below), std::log(std::cosh(t)) - 0.5 * z * z - top.log, z);
  }
  return sums.integral(top.log + std::log(width) - std::log(s));
}

// Studies of one cluster given its common factor.
class Cluster {
 public:
  Cluster(const Tables& tables, int first, int size, const double* mean,
          const double* sd, const double* load, int refinement)
      : size_(size), mean_(mean), sd_(sd), load_(load), refinement_(refinement) {
    for (int i = 0; i < size; ++i) studies_.push_back(study(tables, first + i));
  }

  // Log density and derivatives at u; those of the studies too unless null.
  Value at(double u, Integral* each) const {
    Value total = {-0.5 * u * u, -u, -1};
    for (int i = 0; i < size_; ++i) {
      const Integral one =
          integral(studies_[i], mean_[i] + load_[i] * u, sd_[i], refinement_);
      total.log += one.log;
      total.first += load_[i] * one.by_mean;
      total.second += load_[i] * load_[i] * one.by_mean_twice;
      if (each) each[i] = one;
    }
    return total;
  }

  // Nearly its mode, with the second derivative there.
  double mode(double& second) const {
    double u = 0;
    Value here = at(u, nullptr);
    double low = std::fmin(here.first, 0);
    double high = std::fmax(here.first, 0);
    for (int n = 0;
         n < 60 && std::fabs(here.first) > 0.02 * std::sqrt(-here.second); ++n) {
      (here.first > 0 ? low : high) = u;
      u -= here.first / here.second;
      if (!(u > low && u < high)) u = 0.5 * (low + high);
      here = at(u, nullptr);
    }
    second = here.second;
    return u;
  }

 private:
  int size_;
  const double* mean_;
  const double* sd_;
  const double* load_;
  int refinement_;
  std::vector<Study> studies_;
};

}  // namespace

double counted_alone(const Tables& tables, int K, const double* mean, const double* sd,
                     int refinement, double* by_mean, double* by_sd) {
  double total = 0;
  for (int i = 0; i < K; ++i) {
    const Integral one = integral(study(tables, i), mean[i], sd[i], refinement);
    total += one.log;
    if (by_mean) {
      by_mean[i] = one.by_mean;
      by_sd[i] = one.by_sd;
    }
  }
  return total;
}

double counted_clusters(const Tables& tables, int clusters, const int* start,
                        const int* number, const double* mean, const double* sd,
                        const double* load, const FactorNodes& nodes, int refinement,
                        double* by_mean, double* by_sd, double* by_load) {
  double total = 0;
  std::vector<double> logs(nodes.count);
  std::vector<Integral> each;
  for (int k = 0; k < clusters; ++k) {
    const int first = start[k] - 1;
    const int size = number[k];
    const Cluster cluster(tables, first, size, mean + first, sd + first, load + first,
                          refinement);
    double second;
    const double mode = cluster.mode(second);
    const double width = 1 / std::sqrt(-second);
    each.resize(static_cast<std::size_t>(size) * nodes.count);
    double highest = -HUGE_VAL;
    for (int q = 0; q < nodes.count; ++q) {
      const double node = nodes.node[q];
      const Value here = cluster.at(mode + width * node, &each[q * size]);
      logs[q] = nodes.log_weight[q] + 0.5 * node * node + here.log;
      highest = std::fmax(highest, logs[q]);
    }
    double sum = 0;
    for (double& log : logs) sum += log = std::exp(log - highest);
    total += std::log(width) + highest + std::log(sum);
    if (!by_mean) continue;
    for (int i = first; i < first + size; ++i) by_mean[i] = by_sd[i] = by_load[i] = 0;
    for (int q = 0; q < nodes.count; ++q) {
      const double u = mode + width * nodes.node[q];
      for (int i = 0; i < size; ++i) {
        const Integral& one = each[q * size + i];
        const double weight = logs[q] / sum;
        by_mean[first + i] += weight * one.by_mean;
        by_sd[first + i] += weight * one.by_sd;
        by_load[first + i] += weight * u * one.by_mean;
      }
    }
  }
  return total;
}

}  // namespace pyrobma
