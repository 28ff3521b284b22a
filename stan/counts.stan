/**
 * Random-effects meta-analysis of the events of two groups, without corrections.
 *
 *   h_k(delta)    likelihood of study k's counts at its true log ratio delta
 *   delta_i = mu + x_i' b + T_i (sqrt(rho) u_c + sqrt(1 - rho) z_i)   study i, cluster c
 *   T_i = tau exp(w_i' d);   u_c, z_i ~ N(0, 1)
 *
 * The likelihoods come as tables of log h_k: odds ratios or rate ratios, baselines
 * integrated or conditioned away, it is all one here. True effects are integrated
 * one study at a time, the common factor of a cluster with quadrature nodes and weights
 * that are data. README.md describes every data variable.
 */
functions {
  #include functions/priors.stanfunctions
  #include functions/measures.stanfunctions
  #include functions/checks.stanfunctions
  #include functions/terms.stanfunctions
  #include functions/clusters.stanfunctions
  #include functions/tables.stanfunctions
  #include functions/counted.stanfunctions
}
data {
  #include blocks/estimates.stan
  #include blocks/terms.stan

  // tables of the log likelihoods: knots study by study, in the order of the estimates
  array[K] int<lower=1> knots; // number of knots of each
  int<lower=1> N; // of all together
  vector[N] knot; // true effects, rising within a study
  vector[N] log_h; // log likelihood of the study there
  vector[N] slope; // its derivative
  vector[N] curvature; // and the second one

  // integrals over true effects: 1; 2 has half the step and twice the reach
  int<lower=1> refinement;

  // quadrature of the common factor: nodes, and logs of weights with phi in them
  int<lower=1> Q;
  row_vector[Q] node;
  row_vector[Q] log_weight;
}
transformed data {
  check_estimates(y, se, intercept, loading);
  check_clusters(K, cluster_start, cluster_size);
  check_measures(prior_measure, data_measure);
  check_terms(x, bias, w, family, par, low, high);
  check_tables(knots, knot, log_h, slope, curvature);
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

  // ordinary data are not rotated
  int plain = min(append_row(intercept, loading)) == 1
              && max(append_row(intercept, loading)) == 1;

  // tables
  matrix[6, N] piece = table_pieces(knots, knot, log_h, slope, curvature);
  array[K] int first_knot = first_positions(knots);

  // studies that share a cluster first, independent ones after them
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
  vector[K_shared] intercept_shared = intercept[in_shared];
  matrix[K_shared, P] x_shared = x[in_shared];
  matrix[K_shared, B] bias_shared = bias[in_shared];
  vector[K_shared] loading_shared = loading[in_shared];
  matrix[K_shared, S] w_shared = w[in_shared];
  array[K_shared] int first_shared = first_knot[in_shared];
  array[K_shared] int knots_shared = knots[in_shared];
  vector[K_alone] intercept_alone = intercept[in_alone];
  matrix[K_alone, P] x_alone = x[in_alone];
  matrix[K_alone, B] bias_alone = bias[in_alone];
  vector[K_alone] loading_alone = loading[in_alone];
  matrix[K_alone, S] w_alone = w[in_alone];
  array[K_alone] int first_alone = first_knot[in_alone];
  array[K_alone] int knots_alone = knots[in_alone];
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

  if (!prior_only) {
    real T = scale * tau;
    // 1 - rho, whose digits rho has lost near 1
    real rest = rho_within(rho_logit, family[3], par[3], low[3], high[3]);
    if (K_shared > 0) {
      real root = rho_root(rho_logit, family[3], par[3], low[3], high[3]);
      vector[K_shared] mean_shared = study_means(mu, coef, intercept_shared,
                                                 x_shared, bias_shared,
                                                 scale, plain,
                                                 exact_mapping,
                                                 prior_measure, data_measure);
      vector[K_shared] T_shared = row_heterogeneity(T, tau_coef, w_shared);
      target += counted_clusters(mean_shared, sqrt(rest) * T_shared,
                                 root * T_shared .* loading_shared,
                                 shared_start, shared_size, node,
                                 log_weight, refinement, knot, piece,
                                 first_shared, knots_shared);
    }
    if (K_alone > 0) {
      vector[K_alone] mean_alone = study_means(mu, coef, intercept_alone,
                                               x_alone, bias_alone, scale,
                                               plain, exact_mapping,
                                               prior_measure, data_measure);
      vector[K_alone] T_alone = row_heterogeneity(T, tau_coef, w_alone);
      if (!plain) {
        T_alone = T_alone .* sqrt(rest + rho * square(loading_alone));
      }
      target += counted_alone(mean_alone, T_alone, refinement, knot, piece,
                              first_alone, knots_alone);
    }
  }
}
