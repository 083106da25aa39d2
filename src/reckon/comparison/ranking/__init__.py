"""Comparisons of rankings."""
