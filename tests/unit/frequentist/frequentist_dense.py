"""Meta-regression written again with dense matrices: what the fits are held against."""

import numpy as np
from scipy.stats import chi2, f, multivariate_normal, norm, t


def covariance(v, cluster, within, between):
    """Covariance of the estimates."""
    cluster = np.asarray(cluster)
    return np.diag(v + within) + between * (cluster[:, None] == cluster)


def projection(x, sigma):
    """P, so that y'Py is the weighted sum of squared residuals."""
    w = np.linalg.inv(sigma)
    return w - w @ x @ np.linalg.inv(x.T @ w @ x) @ x.T @ w


def coefficients(y, x, sigma):
    """Generalised least squares estimates and their covariance."""
    w = np.linalg.inv(sigma)
    variance = np.linalg.inv(x.T @ w @ x)
    return variance @ x.T @ w @ y, variance


def log_likelihood(y, x, sigma, *, reml):
    """Log likelihood at the best coefficients; the restricted one as of metafor."""
    b, variance = coefficients(y, x, sigma)
    value = multivariate_normal.logpdf(y, x @ b, sigma)
    if reml:
        value += 0.5 * x.shape[1] * np.log(2 * np.pi)
        value += 0.5 * np.linalg.slogdet(x.T @ x)[1]
        value += 0.5 * np.linalg.slogdet(variance)[1]
    return value


def wald(b, variance, rows, df=None):
    """Statistic and p-value of the test that some coefficients are zero."""
    form = b[rows] @ np.linalg.inv(variance[np.ix_(rows, rows)]) @ b[rows]
    if df is None:
        return form, chi2.sf(form, len(rows))
    return form / len(rows), f.sf(form / len(rows), len(rows), df)


def table(b, variance, level=0.95, df=None):
    """Estimate, standard error, z or t, p and interval of each coefficient."""
    law = norm if df is None else t(df)
    se = np.sqrt(np.diag(variance))
    half = law.ppf(0.5 + level / 2) * se
    p = 2 * law.sf(np.abs(b / se))
    return np.column_stack([b, se, b / se, p, b - half, b + half])
