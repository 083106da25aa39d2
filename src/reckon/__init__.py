"""Reckon: recommender models that reason before they recommend."""
