// The likelihood under selection in plain numbers, with its gradient: the functions of
// stan/functions/selected.stanfunctions, by the same formulas.
#ifndef PYROBMA_KERNEL_LIKELIHOOD_HPP
#define PYROBMA_KERNEL_LIKELIHOOD_HPP

#include "selection_sums.hpp"

namespace pyrobma {

// Data of the estimates, in effect_direction, by the names they have in the program.
struct SelectedRows {
  int K;
  int P;
  int B;
  int S;
  const double* y;
  const double* v;
  const double* intercept;
  const double* loading;
  const double* x;     // K x P, by columns
  const double* bias;  // K x B
  const double* w;     // K x S
  const double* cut;   // K x (J - 1)
};

// How effects become means of estimates.
struct Mapping {
  double scale;
  int plain;
  int exact;
  int from;
  int to;
};

struct Clusters {
  int L;
  const int* start;  // from 1
  const int* size;
  int Q;
  const double* node;
  const double* log_weight;
};

// Values of the unknowns, or derivatives by them. `within` is 1 - rho, and `between`
// is rho for estimates alone and its root for clusters.
template <typename Number>
struct Unknowns {
  Number* mu;
  Number* coef;  // P + B
  Number* T;
  Number* tau_coef;  // S
  Number* within;
  Number* between;
  Number* omega;  // J
};

double selected_clusters(const SelectedRows&, const Mapping&, const Clusters&,
                         const Steps&, const Unknowns<const double>&,
                         const Unknowns<double>* gradient);

double selected_alone(const SelectedRows&, const Mapping&, const Steps&,
                      const Unknowns<const double>&,
                      const Unknowns<double>* gradient);

}  // namespace pyrobma

#endif
