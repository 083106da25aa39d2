"""Attacks on Reckon: each module makes hostile cases of one kind from a seed, and says what became of each.

A module has `FINE`, the verdicts that are no fault, and `attack(count, seed)`, which yields `Outcome`s. Its fast
sample is a test beside it; `benchmarks/hostile.py` runs any number.
"""
