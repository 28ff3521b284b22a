"""Likelihoods of the counts of studies, for Bayesian and frequentist models."""
