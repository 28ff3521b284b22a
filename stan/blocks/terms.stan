  // terms of the mean, and of log tau: one column for each coefficient
  int<lower=0> P; // number of moderators
  matrix[K, P] x; // their columns, on the prior's measure
  int<lower=0> B; // number of bias terms
  matrix[K, B] bias; // their columns, on the data's measure
  int<lower=0> S; // number of moderators of heterogeneity
  matrix[K, S] w; // their columns

  // unknowns, by row: 1 mu, 2 tau, 3 rho, then the coefficients of x, of bias and of
  // w; each with its prior: family code, parameters and truncation
  // (functions/priors.stanfunctions)
  array[3 + P + B + S] int<lower=0, upper=9> family; // 0: fixed
  array[3 + P + B + S] vector[3] par;
  vector[3 + P + B + S] low;
  vector[3 + P + B + S] high;
