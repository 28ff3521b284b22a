// Prints, rejects and draws random numbers, for tests of the runtime.
data {
  int<lower=0> K;
}
transformed data {
  real noise = normal_rng(0, 1);
  print("data of size ", K);
}
parameters {
  vector[K] a;
  real<lower=0> b;
  simplex[3] p;
}
transformed parameters {
  real ab = sum(a) + b;
  if (b > 100) {
    reject("b is too large: ", b);
  }
}
model {
  print("evaluated at ", ab);
  a ~ normal(0, 1);
  b ~ exponential(1);
  p ~ dirichlet(rep_vector(2, 3));
}
generated quantities {
  real z = normal_rng(ab, 1);
  real seen = noise;
  if (b > 50) {
    reject("no prediction for ", b);
  }
}
