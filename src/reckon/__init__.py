"""Reckon: recommender models that reason before they recommend."""

__version__ = "0.1.0.dev0"
