"""Evaluation of methods that rank."""
