/**
 * The functions of counts that the package compiles from C++ and, by other names, those
 * of the Stan source: test_counted_kernel.py puts them into functions/plain.stanfunctions.
 */
functions {
  #include functions/tables.stanfunctions
  #include functions/plain.stanfunctions
  #include functions/counted.stanfunctions
}
data {
  int<lower=0, upper=1> plain; // 1: the Stan source
  int<lower=1> K; // studies
  array[K] int<lower=1> knots;
  int<lower=1> N;
  vector[N] knot;
  vector[N] log_h;
  vector[N] slope;
  vector[N] curvature;
  int<lower=1> refinement;
  int<lower=0> L; // clusters; 0: all studies are alone
  array[L] int<lower=1> start;
  array[L] int<lower=1> number;
  int<lower=1> Q;
  row_vector[Q] node;
  row_vector[Q] log_weight;
}
transformed data {
  matrix[6, N] piece = table_pieces(knots, knot, log_h, slope, curvature);
  array[K] int first;
  first[1] = 1;
  for (i in 2 : K) {
    first[i] = first[i - 1] + knots[i - 1];
  }
}
parameters {
  vector[K] mean;
  vector[K] sd;
  vector[K] load;
}
model {
  if (L == 0 && plain) {
    target += plain_counted_alone(mean, sd, refinement, knot, piece, first,
                                  knots);
  } else if (L == 0) {
    target += counted_alone(mean, sd, refinement, knot, piece, first, knots);
  } else if (plain) {
    target += plain_counted_clusters(mean, sd, load, start, number, node,
                                     log_weight, refinement, knot, piece,
                                     first, knots);
  } else {
    target += counted_clusters(mean, sd, load, start, number, node,
                               log_weight, refinement, knot, piece, first,
                               knots);
  }
}
