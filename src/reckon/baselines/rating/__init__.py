"""Baselines of rating prediction."""
