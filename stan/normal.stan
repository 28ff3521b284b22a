/**
 * Random-effects meta-analysis of clustered estimates, normal likelihood.
 *
 *   y_k ~ MVN(mean_k, diag(se^2) + tau^2 [(1 - rho) I + rho 11'])   cluster k
 *   mean_i = mu + PET se_i + PEESE se_i^2
 *
 * mu, tau and PEESE are on the prior's measure and are carried to the data's.
 * A parameter whose prior is a spike is fixed, and has no entry among the free
 * ones. README.md describes every data variable.
 */
functions {
  #include functions/priors.stanfunctions
  #include functions/measures.stanfunctions
  #include functions/checks.stanfunctions
  #include functions/clusters.stanfunctions
}
data {
  // estimates, sorted by cluster
  int<lower=1> K; // number of estimates
  vector[K] y; // estimates, on the data's measure
  vector<lower=0>[K] se; // their standard errors, positive
  int<lower=1> L; // number of clusters; an independent estimate is one of its own
  array[L] int<lower=1, upper=K> cluster_start; // first estimate of each cluster
  array[L] int<lower=1, upper=K> cluster_size; // number of its estimates

  // measures: 0 none, 1 Cohen's d, 2 Fisher's z, 3 r, 4 log odds ratio
  int<lower=0, upper=4> data_measure;
  int<lower=0, upper=4> prior_measure;
  int<lower=0, upper=1> exact_mapping; // of mu: 0 linear, 1 exact
  int<lower=-1, upper=1> effect_direction; // 1 or -1: where bias pushes
  int<lower=0, upper=1> prior_only; // 1: leave the likelihood out

  // priors: family code, parameters, truncation (functions/priors.stanfunctions)
  int<lower=0, upper=9> mu_family;
  vector[3] mu_par;
  real mu_lower;
  real mu_upper;
  int<lower=0, upper=9> tau_family;
  vector[3] tau_par;
  real<lower=0> tau_lower;
  real tau_upper;
  int<lower=0, upper=9> rho_family;
  vector[3] rho_par;
  real<lower=0> rho_lower;
  real<upper=1> rho_upper;
  int<lower=0, upper=9> PET_family;
  vector[3] PET_par;
  real PET_lower;
  real PET_upper;
  int<lower=0, upper=9> PEESE_family;
  vector[3] PEESE_par;
  real PEESE_lower;
  real PEESE_upper;
}
transformed data {
  check_estimates(y, se);
  check_clusters(K, cluster_start, cluster_size);
  check_settings(prior_measure, data_measure, effect_direction, tau_family,
                 tau_par[1], rho_family, rho_par[1]);
  real scale = linear_scale(prior_measure, data_measure);
  real mu_log_mass = prior_log_mass(mu_family, mu_par, mu_lower, mu_upper);
  real tau_log_mass = prior_log_mass(tau_family, tau_par, tau_lower, tau_upper);
  real rho_log_mass = prior_log_mass(rho_family, rho_par, rho_lower, rho_upper);
  real PET_log_mass = prior_log_mass(PET_family, PET_par, PET_lower, PET_upper);
  real PEESE_log_mass = prior_log_mass(PEESE_family, PEESE_par, PEESE_lower,
                                       PEESE_upper);

  // estimates that share a cluster first, independent ones after them
  int independent = (rho_family == 0 && rho_par[1] == 0)
                    || (tau_family == 0 && tau_par[1] == 0);
  int L_shared = num_elements(shared_clusters(cluster_size, independent));
  array[L_shared] int shared = shared_clusters(cluster_size, independent);
  array[L_shared] int shared_size = cluster_size[shared];
  array[L_shared] int shared_start = first_positions(shared_size);
  int K_shared = sum(shared_size);
  int K_alone = K - K_shared;
  array[K] int order = clusters_first(shared, cluster_start, cluster_size);
  vector[K] y_sorted = y[order];
  vector[K] se_sorted = se[order];
  vector[K] v_sorted = square(se_sorted);

  // The sampled effect is that of an average standard error, which the data know
  // even where they cannot tell mu from PET or PEESE. A shift has no Jacobian; a
  // bounded mu stays as it is.
  int shifted = mu_family > 0 && is_inf(mu_lower) && is_inf(mu_upper);
  real PET_shift = shifted * effect_direction * sum(inv(se)) / sum(inv(v_sorted))
                   / scale;
  real PEESE_shift = shifted * effect_direction * K / sum(inv(v_sorted))
                     / square(scale);
}
parameters {
  array[mu_family > 0] real<lower=mu_lower, upper=mu_upper> mu_free; // shifted
  array[tau_family > 0] real<lower=tau_lower, upper=tau_upper> tau_free;
  array[rho_family > 0] real rho_logit; // of its place between its ends
  array[PET_family > 0] real<lower=PET_lower, upper=PET_upper> PET_free;
  array[PEESE_family > 0] real<lower=PEESE_lower, upper=PEESE_upper> PEESE_free;
}
transformed parameters {
  real tau = tau_family > 0 ? tau_free[1] : tau_par[1];
  real rho = rho_family > 0
             ? rho_lower + (rho_upper - rho_lower) * inv_logit(rho_logit[1])
             : rho_par[1];
  real PET = PET_family > 0 ? PET_free[1] : PET_par[1];
  real PEESE = PEESE_family > 0 ? PEESE_free[1] : PEESE_par[1];
  real mu = mu_family > 0
            ? mu_free[1] - PET_shift * PET - PEESE_shift * PEESE
            : mu_par[1];
}
model {
  target += prior_lpdf({mu} | mu_family, mu_par, mu_log_mass);
  target += prior_lpdf(tau_free | tau_family, tau_par, tau_log_mass);
  target += prior_logit_lpdf(rho_logit | rho_family, rho_par, rho_lower,
                             rho_upper, rho_log_mass);
  target += prior_lpdf(PET_free | PET_family, PET_par, PET_log_mass);
  target += prior_lpdf(PEESE_free | PEESE_family, PEESE_par, PEESE_log_mass);

  if (!prior_only) {
    real tau2 = square(scale * tau);
    real within = tau2
                  * (rho_family > 0 // 1 - rho, whose digits rho has lost near 1
                     ? 1 - rho_upper
                       + (rho_upper - rho_lower) * inv_logit(-rho_logit[1])
                     : 1 - rho);
    vector[K] residual = y_sorted
                         - (exact_mapping
                            ? convert_effect(mu, prior_measure, data_measure)
                            : scale * mu);
    if (PET_family > 0 || PET_par[1] != 0) {
      residual -= effect_direction * PET * se_sorted;
    }
    if (PEESE_family > 0 || PEESE_par[1] != 0) {
      residual -= effect_direction * PEESE / scale * v_sorted;
    }
    if (K_shared > 0) {
      target += clustered_normal_lpdf(head(residual, K_shared) |
                                      head(v_sorted, K_shared)
                                      + within, rho * tau2,
                                      shared_start, shared_size);
    }
    if (K_alone > 0) {
      target += independent_normal_lpdf(tail(residual, K_alone) |
                                        tail(v_sorted, K_alone) + tau2);
    }
  }
}
