"""Baselines without a network: counts, neighbours, linear models, factors, text, and their hybrid."""
