// The likelihood of counts of stan/functions/counted.stanfunctions, with derivatives.
#ifndef PYROBMA_KERNEL_COUNTED_HPP
#define PYROBMA_KERNEL_COUNTED_HPP

namespace pyrobma {

// Tables of log likelihoods of K studies: `first` counts knots from 1, and `piece` has
// six coefficients for each knot.
struct Tables {
  const double* knot;
  const double* piece;
  const int* first;
  const int* size;
};

// Nodes of the common factor of a cluster, and logs of their weights.
struct FactorNodes {
  int count;
  const double* node;
  const double* log_weight;
};

// Log likelihood of K studies that are alone in their clusters, given mean and sd of
// their true effects. Derivatives by these are written unless they are null.
double counted_alone(const Tables& tables, int K, const double* mean, const double* sd,
                     int refinement, double* by_mean, double* by_sd);

// The same of clusters, whose studies follow each other; `start` counts from 1.
double counted_clusters(const Tables& tables, int clusters, const int* start,
                        const int* number, const double* mean, const double* sd,
                        const double* load, const FactorNodes& nodes, int refinement,
                        double* by_mean, double* by_sd, double* by_load);

}  // namespace pyrobma

#endif
