// Logs of expected publication probabilities, and their derivatives: the part of the
// likelihood under selection that costs, compiled for several kinds of processors.
#ifndef PYROBMA_KERNEL_SELECTION_SUMS_HPP
#define PYROBMA_KERNEL_SELECTION_SUMS_HPP

namespace pyrobma {

// What the weights make of the critical values: interval j has the weight omega[j], and
// cut j lies between intervals j and j + 1.
struct Steps {
  int J;                // number of intervals
  int sides;            // one- or two-sided p-values
  int lowest;           // the interval of the smallest weight, from 0
  const double* omega;  // shape (J,)
};

// Estimates in a row; column j of the cuts begins at `cut + j * stride`.
struct Estimates {
  int n;
  const double* mean;
  const double* unit;  // 1 / sqrt(2 variance)
  const double* load;  // of the common factor; not used for independent ones
  const double* cut;
  int stride;
};

// Nodes and log weights of the quadrature; `padded` are stored, the last ones with
// node 0 and log weight -infinity, so that they fill the lanes.
struct Nodes {
  int Q;
  int padded;
  const double* node;
  const double* log_weight;
};

// Where derivatives are added to; those of `load` only for clusters.
struct Derivatives {
  double* mean;
  double* unit;
  double* load;
  double* omega;
};

// A processor's functions. Without `derivatives` only the value is computed.
struct SelectionSums {
  const char* name;
  int lanes;
  // Log of E[prod w] over independent estimates; `room` for independent_room() numbers.
  double (*independent)(const Steps&, const Estimates&, const Derivatives*,
                        double* room);
  // The same over one cluster; `room` for cluster_room() numbers.
  double (*cluster)(const Steps&, const Estimates&, const Nodes&, const Derivatives*,
                    double* room);
};

constexpr int MOST_LANES = 8;

inline int independent_room(int J) { return J * MOST_LANES; }

inline int cluster_room(int n, int J, int padded) { return (n * (J + 2) + 1) * padded; }

const SelectionSums& selection_sums();

}  // namespace pyrobma

#endif
