"""Evaluation of methods that predict ratings."""
