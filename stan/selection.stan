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
  #include functions/terms.stanfunctions
  #include functions/clusters.stanfunctions
  #include functions/selection.stanfunctions
  #include functions/selected.stanfunctions
}
data {
  #include blocks/estimates.stan
  #include blocks/terms.stan

  // selection
  int<lower=-1, upper=1> effect_direction; // 1 or -1: sign of significant effects
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
  check_estimates(y, se, intercept, loading);
  check_clusters(K, cluster_start, cluster_size);
  check_measures(prior_measure, data_measure);
  check_direction(effect_direction);
  check_terms(x, bias, w, family, par, low, high);
  real scale = linear_scale(prior_measure, data_measure);
  vector[3 + P + B + S] log_mass = prior_log_masses(family, par, low, high);

  // coefficients
  array[P + B] int coef_family = tail(head(family, 3 + P + B), P + B);
  int F = num_elements(free_coefficients(coef_family)); // number of free ones
  array[F] int free = free_coefficients(coef_family);
  int first = max(F - 1, 0); // those before the last one
  vector[P + B] coef_low = tail(head(low, 3 + P + B), P + B);
  vector[P + B] coef_high = tail(head(high, 3 + P + B), P + B);
  vector[first] first_lower = coef_low[head(free, first)];
  vector[first] first_upper = coef_high[head(free, first)];
  vector[2] last_own = last_ends(free, low, high);
  vector[P + B] fixed_coef = fixed_coefficients(coef_family,
                                               tail(head(par, 3 + P + B),
                                                    P + B));
  vector[P + B] centre = column_centres(intercept, x, bias, se, scale);
  vector[first] centre_first = centre[head(free, first)];
  real centre_last = F == 0 ? 0 : centre[free[max(F, 1)]];
  real fixed_shift = dot_product(centre, fixed_coef);

  // coefficients of log tau
  array[S] int tau_family = tail(family, S);
  int G = num_elements(free_coefficients(tau_family)); // number of free ones
  array[G] int tau_which = free_coefficients(tau_family);
  array[G] real tau_lower = to_array_1d(tail(low, S)[tau_which]);
  array[G] real tau_upper = to_array_1d(tail(high, S)[tau_which]);
  vector[S] tau_fixed = fixed_coefficients(tau_family, tail(par, S));

  // estimates that share a cluster first, independent ones after them
  int independent = (family[3] == 0 && par[3, 1] == 0)
                    || (family[2] == 0 && par[2, 1] == 0);
  int L_shared = num_elements(shared_clusters(cluster_size, independent));
  array[L_shared] int shared = shared_clusters(cluster_size, independent);
  array[L_shared] int shared_size = cluster_size[shared];
  array[L_shared] int shared_start = first_positions(shared_size);
  int K_shared = sum(shared_size);
  int K_alone = K - K_shared;
  array[K] int order = clusters_first(shared, cluster_start, cluster_size);
  array[K_shared] int in_shared = head(order, K_shared);
  array[K_alone] int in_alone = tail(order, K_alone);

  // ordinary data are not rotated
  int plain = min(append_row(intercept, loading)) == 1
              && max(append_row(intercept, loading)) == 1;
  // estimates and columns in effect_direction; that of mu takes it from mu
  vector[K_shared] y_shared = effect_direction * y[in_shared];
  vector[K_shared] v_shared = square(se[in_shared]);
  vector[K_shared] intercept_shared = intercept[in_shared];
  matrix[K_shared, P] x_shared = effect_direction * x[in_shared];
  matrix[K_shared, B] bias_shared = effect_direction * bias[in_shared];
  vector[K_shared] loading_shared = loading[in_shared];
  matrix[K_shared, S] w_shared = w[in_shared];
  vector[K_alone] y_alone = effect_direction * y[in_alone];
  vector[K_alone] v_alone = square(se[in_alone]);
  vector[K_alone] intercept_alone = intercept[in_alone];
  matrix[K_alone, P] x_alone = effect_direction * x[in_alone];
  matrix[K_alone, B] bias_alone = effect_direction * bias[in_alone];
  vector[K_alone] loading_alone = loading[in_alone];
  matrix[K_alone, S] w_alone = w[in_alone];
  matrix[K_shared, J - 1] cut_shared = cut[in_shared];
  matrix[K_alone, J - 1] cut_alone = cut[in_alone];

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
    real statistic = sides == 1 ? effect_direction * y[i] : abs(y[i]);
    int j = 1;
    // An estimate on a cut is on it in every unit, whatever the rounding.
    while (j < J && statistic < cut[i, j] - 1e-8 * se[i]) {
      j += 1;
    }
    observed[j] += 1;
    for (m in 1 : (J - 1)) {
      if (is_nan(cut[i, m])
          || (m > 1 && cut[i, m] >= cut[i, max(m - 1, 1)])) {
        reject("cut: expected critical values that fall with j; got ",
               cut[i], " for estimate ", i);
      }
    }
  }
}
parameters {
  vector<lower=first_lower, upper=first_upper>[first] coef_free; // but for the last
  // mu plus what the coefficients add to an effect of average precision, which the
  // data know better than mu; a shift has no Jacobian
  array[family[1] > 0] real<lower=total_end(low[1],
                                            fixed_shift
                                            + mean_shift(coef_free, centre_first),
                                            centre_last, last_own, -1),
                            upper=total_end(high[1],
                                            fixed_shift
                                            + mean_shift(coef_free, centre_first),
                                            centre_last, last_own, 1)> mu_free;
  // the last free coefficient, which shares mu_free with mu if that has ends
  array[F > 0] real<lower=share_ends(last_own, mu_free,
                                     fixed_shift
                                     + mean_shift(coef_free, centre_first),
                                     centre_last, low[1], high[1])[1],
                    upper=share_ends(last_own, mu_free,
                                     fixed_shift
                                     + mean_shift(coef_free, centre_first),
                                     centre_last, low[1], high[1])[2]> last_free;
  array[family[2] > 0] real<lower=low[2], upper=high[2]> tau_free;
  // an array, which takes no place among derivatives if it is empty: nothing moves
  array[G] real<lower=tau_lower, upper=tau_upper> tau_coef_free;
  array[family[3] > 0] real rho_logit; // of its place between its ends
  vector[omega_family > 0 ? J1 - 1 : 0] fall_logit; // of neighbouring weights' ratios
  vector[omega_family == 2 ? J - J1 : 0] rise_logit;
}
transformed parameters {
  vector[P + B] coef = fixed_coef;
  coef[head(free, first)] = coef_free;
  if (F > 0) {
    coef[free[F]] = last_free[1];
  }
  real mu = family[1] > 0
            ? inside(mu_free[1] - mean_shift(coef, centre), low[1], high[1])
            : par[1, 1];
  real tau = family[2] > 0 ? tau_free[1] : par[2, 1];
  vector[S] tau_coef = tau_fixed;
  tau_coef[tau_which] = to_vector(tau_coef_free);
  real rho = rho_between(rho_logit, family[3], par[3], low[3], high[3]);

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
  target += prior_lpdf(mu | family[1], par[1], log_mass[1]);
  target += prior_lpdf(tau | family[2], par[2], log_mass[2]);
  target += prior_logit_lpdf(rho_logit | family[3], par[3], low[3],
                             high[3], log_mass[3]);
  if (P + B > 0) {
    target += coefficients_lpdf(coef | 3, family, par, log_mass);
  }
  if (S > 0) {
    target += coefficients_lpdf(tau_coef | 3 + P + B, family, par, log_mass);
  }
  if (omega_family > 0) {
    target += dirichlet_ratios_lpdf(fall_logit | alpha1);
  }
  if (omega_family == 2) {
    target += dirichlet_ratios_lpdf(rise_logit | alpha2);
  }

  if (!prior_only) {
    real T = scale * tau;
    real mu_directed = effect_direction * mu;
    // 1 - rho, whose digits rho has lost near 1
    real rest = rho_within(rho_logit, family[3], par[3], low[3], high[3]);
    // Sums of weights times tail probabilities could underflow below this.
    int tiny = zero_weight || log_omega[lowest] < -600;
    for (j in 1 : J) {
      if (observed[j] > 0) {
        target += observed[j] * log_omega[j];
      }
    }
    if (K_shared > 0) {
      real root = rho_root(rho_logit, family[3], par[3], low[3], high[3]);
      if (tiny) {
        vector[K_shared] mean_shared = study_means(mu_directed, coef,
                                                   intercept_shared, x_shared,
                                                   bias_shared, scale, plain,
                                                   exact_mapping,
                                                   prior_measure,
                                                   data_measure);
        vector[K_shared] T_shared = row_heterogeneity(T, tau_coef, w_shared);
        vector[K_shared] variance_shared = v_shared + rest * square(T_shared);
        vector[K_shared] load = root * T_shared .* loading_shared;
        vector[K_shared] residual_shared = y_shared - mean_shared;
        target += clustered_normal_lpdf(residual_shared | variance_shared,
                                        load, shared_start, shared_size);
        target += -log_selection_tails(mean_shared,
                                       inv_sqrt(2 * variance_shared), load,
                                       shared_start, shared_size, node,
                                       log_weight, cut_shared, sides,
                                       log_omega);
      } else {
        target += selected_clusters(y_shared, v_shared, intercept_shared,
                                    loading_shared, x_shared, bias_shared,
                                    cut_shared, shared_start, shared_size,
                                    node, log_weight, mu_directed, coef, T,
                                    tau_coef, w_shared, rest, root, omega,
                                    lowest, sides, scale, plain,
                                    exact_mapping, prior_measure,
                                    data_measure);
      }
    }
    if (K_alone > 0 && tiny) {
      vector[K_alone] mean_tail = study_means(mu_directed, coef,
                                              intercept_alone, x_alone,
                                              bias_alone, scale, plain,
                                              exact_mapping, prior_measure,
                                              data_measure);
      vector[K_alone] T_tail = row_heterogeneity(T, tau_coef, w_alone);
      vector[K_alone] variance_tail = alone_row_variances(v_alone,
                                                          loading_alone,
                                                          T_tail, rho, rest);
      vector[K_alone] residual_tail = y_alone - mean_tail;
      vector[K_alone] unit_tail = inv_sqrt(2 * variance_tail);
      target += independent_normal_lpdf(residual_tail | variance_tail);
      target += -log_selection_tails(mean_tail, unit_tail,
                                     rep_vector(0, K_alone), alone,
                                     rep_array(1, K_alone), [0], [0],
                                     cut_alone, sides, log_omega);
    } else if (K_alone > 0) {
      target += selected_alone(y_alone, v_alone, intercept_alone,
                               loading_alone, x_alone, bias_alone, cut_alone,
                               mu_directed, coef, T, tau_coef, w_alone, rest,
                               rho, omega, lowest, sides, scale, plain,
                               exact_mapping, prior_measure, data_measure);
    }
  }
}
