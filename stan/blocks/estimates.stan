  // estimates, sorted by cluster
  int<lower=1> K; // number of estimates
  vector[K] y; // estimates, on the data's measure
  vector<lower=0>[K] se; // their standard errors, positive
  int<lower=1> L; // number of clusters; an independent estimate is one of its own
  array[L] int<lower=1, upper=K> cluster_start; // first estimate of each cluster
  array[L] int<lower=1, upper=K> cluster_size; // number of its estimates
  vector[K] intercept; // what multiplies mu: 1, unless the data are rotated
  vector[K] loading; // of the cluster's common factor, likewise

  // measures: 0 none, 1 Cohen's d, 2 Fisher's z, 3 r, 4 log odds ratio
  int<lower=0, upper=4> data_measure;
  int<lower=0, upper=4> prior_measure;
  int<lower=0, upper=1> exact_mapping; // of the mean: 0 linear, 1 exact
  int<lower=0, upper=1> prior_only; // 1: leave the likelihood out
