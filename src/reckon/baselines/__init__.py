"""Baselines behind the same interface as the methods."""

from reckon.baselines.popularity import Popularity

__all__ = ["Popularity"]
