// Compiled once for each kind of processor: PYROBMA_PROCESSOR names it and
// PYROBMA_LANES says how many numbers its registers hold. Nothing here may come from
// the standard library's templates, which the linker would share between them.
#include "selection_sums.hpp"

#include "lanes.hpp"

namespace pyrobma {

namespace {

constexpr double TWO_OVER_ROOT_PI = 1.12837916709551257390;

// C = omega[lowest] + sum over cuts of height * part, the part being a sum of tail
// probabilities: the weights' steps away from the smallest one, all positive.
struct Step {
  double sign;    // which side of the cut gets the step
  double height;  // half of it
};

PYROBMA_INLINE Step step(const Steps& steps, int j) {
  const double sign = j < steps.lowest ? 1.0 : -1.0;
  return {sign, 0.5 * sign * (steps.omega[j] - steps.omega[j + 1])};
}

// One part and its derivatives by the cut's two places, times the height.
struct Part {
  Lanes value;
  Lanes by_at;
  Lanes by_mirrored;
};

PYROBMA_INLINE Part part(const Step& s, int sides, Lanes at, Lanes mirrored) {
  const double slope = -TWO_OVER_ROOT_PI * s.height * s.sign;
  Lanes gauss;
  if (sides == 1) {
    const Lanes value = erfc(s.sign * at, gauss);
    return {value, slope * gauss, Lanes{}};
  }
  Lanes other;
  const Lanes outside = erfc(at, gauss) + erfc(mirrored, other);
  return {(1.0 - s.sign) + s.sign * outside, slope * gauss, slope * other};
}

// From sums of the derivatives by parts to those by weights.
void add_weights(const Steps& steps, int j, double part, double* omega) {
  const double half = 0.5 * step(steps, j).sign * part;
  omega[j] += half;
  omega[j + 1] -= half;
}

double independent(const Steps& steps, const Estimates& rows,
                   const Derivatives* derivatives, double* room) {
  const int cuts = steps.J - 1;
  Product product;
  double lowest = 0;
  for (int begin = 0; begin < rows.n; begin += LANES) {
    const int n = rows.n - begin < LANES ? rows.n - begin : LANES;
    const auto fetch = [&](const double* column, double fill) {
      if (n == LANES) return ::load(column + begin);
      Lanes value = all(fill);
      for (int i = 0; i < n; ++i) value[i] = column[begin + i];
      return value;
    };
    const Lanes mean = fetch(rows.mean, 0);
    const Lanes unit = fetch(rows.unit, 1);
    Lanes C = all(steps.omega[steps.lowest]);
    Lanes shift = Lanes{};    // by at less that by mirrored
    Lanes stretch = Lanes{};  // their sum, times the cut
    for (int j = 0; j < cuts; ++j) {
      const Step s = step(steps, j);
      const Lanes cut = fetch(rows.cut + j * rows.stride, 0);
      const Part p = part(s, steps.sides, (cut - mean) * unit, (cut + mean) * unit);
      C += s.height * p.value;
      shift += p.by_at - p.by_mirrored;
      stretch += (p.by_at + p.by_mirrored) * cut;
      store(room + j * LANES, p.value);
    }
    Lanes counted = C;
    for (int i = n; i < LANES; ++i) counted[i] = 1;
    product.times(counted);
    if (derivatives == nullptr) continue;
    const Lanes over = 1.0 / C;
    const Lanes by_mean = -unit * shift * over;
    const Lanes by_unit = (stretch - mean * shift) * over;
    for (int i = 0; i < n; ++i) {
      derivatives->mean[begin + i] += by_mean[i];
      derivatives->unit[begin + i] += by_unit[i];
      lowest += over[i];
    }
    for (int j = 0; j < cuts; ++j) {
      const Lanes parts = ::load(room + j * LANES) * over;
      double total = 0;
      for (int i = 0; i < n; ++i) total += parts[i];
      add_weights(steps, j, total, derivatives->omega);
    }
  }
  if (derivatives != nullptr) derivatives->omega[steps.lowest] += lowest;
  return sum(product.log());
}

double cluster(const Steps& steps, const Estimates& rows, const Nodes& nodes,
               const Derivatives* derivatives, double* room) {
  const int cuts = steps.J - 1;
  const int Q = nodes.padded;
  const int kept = steps.J + 2;  // numbers kept of an estimate at a node
  double* terms = room + rows.n * kept * Q;
  for (int q = 0; q < Q; q += LANES) {
    const Lanes node = ::load(nodes.node + q);
    Product product;
    for (int i = 0; i < rows.n; ++i) {
      const double mean = rows.mean[i];
      const double unit = rows.unit[i];
      const Lanes factor = rows.load[i] * unit * node;
      double* keep = room + i * kept * Q + q;
      Lanes C = all(steps.omega[steps.lowest]);
      Lanes shift = Lanes{};
      Lanes stretch = Lanes{};
      for (int j = 0; j < cuts; ++j) {
        const Step s = step(steps, j);
        const double cut = rows.cut[j * rows.stride + i];
        const Part p = part(s, steps.sides, (cut - mean) * unit - factor,
                            (cut + mean) * unit + factor);
        C += s.height * p.value;
        shift += p.by_at - p.by_mirrored;
        stretch += (p.by_at + p.by_mirrored) * cut;
        if (derivatives != nullptr) store(keep + (3 + j) * Q, p.value);
      }
      product.times(C);
      if (derivatives == nullptr) continue;
      const Lanes over = 1.0 / C;
      store(keep, over);
      store(keep + Q, shift * over);
      store(keep + 2 * Q, stretch * over);
    }
    store(terms + q, product.log() + ::load(nodes.log_weight + q));
  }
  double most = terms[0];
  for (int q = 1; q < nodes.Q; ++q) most = terms[q] > most ? terms[q] : most;
  // See log_nodes_sum: the mass lies beyond the nodes.
  if (nodes.Q > 2 && (terms[0] >= most || terms[nodes.Q - 1] >= most)) {
    return __builtin_inf();
  }
  Lanes total = Lanes{};
  for (int q = 0; q < Q; q += LANES) {
    const Lanes share = exp_negative(::load(terms + q) - most);
    store(terms + q, share);
    total += share;
  }
  const double mass = sum(total);
  if (derivatives == nullptr) return most + __builtin_log(mass);

  const double per = 1.0 / mass;
  double lowest = 0;
  for (int i = 0; i < rows.n; ++i) {
    const double* keep = room + i * kept * Q;
    Lanes over = Lanes{};
    Lanes shift = Lanes{};
    Lanes lever = Lanes{};
    Lanes stretch = Lanes{};
    for (int q = 0; q < Q; q += LANES) {
      const Lanes share = ::load(terms + q);
      const Lanes moved = share * ::load(keep + Q + q);
      over += share * ::load(keep + q);
      shift += moved;
      lever += moved * ::load(nodes.node + q);
      stretch += share * ::load(keep + 2 * Q + q);
    }
    lowest += sum(over);
    const double by_shift = sum(shift) * per;
    const double by_lever = sum(lever) * per;
    derivatives->mean[i] -= rows.unit[i] * by_shift;
    derivatives->load[i] -= rows.unit[i] * by_lever;
    derivatives->unit[i] +=
        sum(stretch) * per - rows.mean[i] * by_shift - rows.load[i] * by_lever;
    for (int j = 0; j < cuts; ++j) {
      Lanes part = Lanes{};
      for (int q = 0; q < Q; q += LANES) {
        part += ::load(terms + q) * ::load(keep + q) * ::load(keep + (3 + j) * Q + q);
      }
      add_weights(steps, j, sum(part) * per, derivatives->omega);
    }
  }
  derivatives->omega[steps.lowest] += lowest * per;
  return most + __builtin_log(mass);
}

}  // namespace

#define PYROBMA_STRING(x) #x
#define PYROBMA_QUOTED(x) PYROBMA_STRING(x)
#define PYROBMA_JOINED(a, b) a##b
#define PYROBMA_NAMED(x) PYROBMA_JOINED(selection_sums_, x)

extern const SelectionSums PYROBMA_NAMED(PYROBMA_PROCESSOR);
const SelectionSums PYROBMA_NAMED(PYROBMA_PROCESSOR) = {
    PYROBMA_QUOTED(PYROBMA_PROCESSOR), LANES, independent, cluster};

}  // namespace pyrobma
