/**
 * Random-effects meta-analysis of clustered estimates under selection.
 *
 * The model of normal.stan, observed through publication by p-value: see
 * functions/selection.stanfunctions. The common factor of a cluster is
 * integrated with quadrature nodes and weights that are data; clusters of one
 * need none. README.md describes every data variable.
 */
functions {
  #include functions/priors.stanfunctions
  #include functions/measures.stanfunctions
  #include functions/checks.stanfunctions
  #include functions/clusters.stanfunctions
  #include functions/selection.stanfunctions
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

  // selection
  int<lower=2> J; // number of p-value intervals
  int<lower=1, upper=2> sides; // one- or two-sided p-values
  matrix[K, J - 1] cut; // critical values in effect_direction, falling with j
  int<lower=0, upper=2> omega_family; // 0 fixed, 1 falling, 2 valley at p = .5
  vector<lower=0, upper=1>[omega_family == 0 ? J : 0] omega_fixed;
  int<lower=0, upper=J> J1; // 1: J; 2: intervals up to that of p = .5; 0: 0
  vector<lower=0>[J1] alpha1; // Dirichlet parameters, by rising p
  vector<lower=0>[omega_family == 2 ? J - J1 + 1 : 0] alpha2;

  // quadrature of the common factor: nodes, and logs of weights with phi in them
  int<lower=1> Q;
  row_vector[Q] node;
  row_vector[Q] log_weight;
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
  vector[K] y_sorted = effect_direction * y[order];
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
  matrix[K, J - 1] cut_sorted = cut[order];

  // selection
  if (J1 != (omega_family == 0 ? 0 : omega_family == 1 ? J : J1)
      || (omega_family == 2 && (J1 < 1 || sides == 2))) {
    reject("J1: expected 0 for fixed weights, J for falling ones and the ",
           "number of intervals up to that of p = .5 for a one-sided valley; ",
           "got ", J1);
  }
  if (omega_family == 0 && max(omega_fixed) == 0) {
    reject("omega_fixed: expected a positive weight; got zeros only");
  }
  int lowest = omega_family == 0 ? sort_indices_asc(omega_fixed)[1] : J1;
  int zero_weight = omega_family == 0 && min(omega_fixed) == 0;
  array[K_alone] int alone = linspaced_int_array(K_alone, 1, max(K_alone, 1));
  vector[J] observed = rep_vector(0, J); // estimates in each interval
  for (i in 1 : K) {
    real statistic = sides == 1 ? y_sorted[i] : abs(y_sorted[i]);
    int j = 1;
    // An estimate on a cut is on it in every unit, whatever the rounding.
    while (j < J && statistic < cut_sorted[i, j] - 1e-8 * se_sorted[i]) {
      j += 1;
    }
    observed[j] += 1;
    for (m in 1 : (J - 1)) {
      if (is_nan(cut_sorted[i, m])
          || (m > 1 && cut_sorted[i, m] >= cut_sorted[i, max(m - 1, 1)])) {
        reject("cut: expected critical values that fall with j; got ",
               cut_sorted[i], " for estimate ", order[i]);
      }
    }
  }
}
parameters {
  array[mu_family > 0] real<lower=mu_lower, upper=mu_upper> mu_free; // shifted
  array[tau_family > 0] real<lower=tau_lower, upper=tau_upper> tau_free;
  array[rho_family > 0] real rho_logit; // of its place between its ends
  array[PET_family > 0] real<lower=PET_lower, upper=PET_upper> PET_free;
  array[PEESE_family > 0] real<lower=PEESE_lower, upper=PEESE_upper> PEESE_free;
  vector[omega_family > 0 ? J1 - 1 : 0] fall_logit; // of neighbouring weights' ratios
  vector[omega_family == 2 ? J - J1 : 0] rise_logit;
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
  vector[J] log_omega; // by rising p
  vector[J] omega;
  if (omega_family == 0) {
    log_omega = log(omega_fixed);
  } else if (omega_family == 1) {
    log_omega = log_falling_weights(fall_logit);
  } else if (omega_family == 2) {
    log_omega = log_valley_weights(fall_logit, rise_logit);
  }
  omega = omega_family == 0 ? omega_fixed : exp(log_omega);
}
model {
  target += prior_lpdf({mu} | mu_family, mu_par, mu_log_mass);
  target += prior_lpdf(tau_free | tau_family, tau_par, tau_log_mass);
  target += prior_logit_lpdf(rho_logit | rho_family, rho_par, rho_lower,
                             rho_upper, rho_log_mass);
  target += prior_lpdf(PET_free | PET_family, PET_par, PET_log_mass);
  target += prior_lpdf(PEESE_free | PEESE_family, PEESE_par, PEESE_log_mass);
  if (omega_family > 0) {
    target += dirichlet_ratios_lpdf(fall_logit | alpha1);
  }
  if (omega_family == 2) {
    target += dirichlet_ratios_lpdf(rise_logit | alpha2);
  }

  if (!prior_only) {
    real tau2 = square(scale * tau);
    real cov = rho * tau2;
    // Sums of weights times tail probabilities could underflow below this.
    int tiny = zero_weight || log_omega[lowest] < -600;
    real m = effect_direction
             * (exact_mapping ? convert_effect(mu, prior_measure, data_measure)
                : scale * mu);
    real PEESE_data = PEESE / scale; // on the data's measure
    vector[K] residual = y_sorted - m - PET * se_sorted
                         - PEESE_data * v_sorted;
    for (j in 1 : J) {
      if (observed[j] > 0) {
        target += observed[j] * log_omega[j];
      }
    }
    if (K_shared > 0) {
      real within = tau2
                    * (rho_family > 0 // 1 - rho, whose digits rho has lost near 1
                       ? 1 - rho_upper
                         + (rho_upper - rho_lower) * inv_logit(-rho_logit[1])
                       : 1 - rho);
      target += clustered_normal_lpdf(head(residual, K_shared) |
                                      head(v_sorted, K_shared) + within, cov,
                                      shared_start, shared_size);
      if (tiny) {
        target += -log_selection_tails(m, PET, PEESE_data, within, sqrt(cov),
                                       head(se_sorted, K_shared),
                                       shared_start, shared_size, node,
                                       log_weight, cut_sorted[1 : K_shared],
                                       sides, log_omega);
      } else {
        target += -log_selection_clusters(m, PET, PEESE_data, within,
                                          sqrt(cov),
                                          head(se_sorted, K_shared),
                                          shared_start, shared_size, node,
                                          log_weight,
                                          cut_sorted[1 : K_shared], sides,
                                          omega, lowest);
      }
    }
    if (K_alone > 0) {
      target += independent_normal_lpdf(tail(residual, K_alone) |
                                        tail(v_sorted, K_alone) + tau2);
      if (tiny) {
        target += -log_selection_tails(m, PET, PEESE_data, tau2, 0,
                                       tail(se_sorted, K_alone), alone,
                                       rep_array(1, K_alone), [0], [0],
                                       cut_sorted[(K_shared + 1) : K], sides,
                                       log_omega);
      } else {
        target += -log_selection_independent(m, PET, PEESE_data, tau2,
                                             tail(se_sorted, K_alone),
                                             cut_sorted[(K_shared + 1) : K],
                                             sides, omega, lowest);
      }
    }
  }
}
