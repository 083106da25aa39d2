"""Comparisons of predicted ratings."""
