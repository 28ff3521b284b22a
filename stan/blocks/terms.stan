  // terms of the mean: one column for each coefficient
  int<lower=0> P; // number of moderators
  matrix[K, P] x; // their columns, on the prior's measure
  int<lower=0> B; // number of bias terms
  matrix[K, B] bias; // their columns, on the data's measure

  // unknowns, by row: 1 mu, 2 tau, 3 rho, then the coefficients of x and of bias;
  // each with its prior: family code, parameters and truncation
  // (functions/priors.stanfunctions)
  array[3 + P + B] int<lower=0, upper=9> family; // 0: fixed
  array[3 + P + B] vector[3] par;
  vector[3 + P + B] low;
  vector[3 + P + B] high;
