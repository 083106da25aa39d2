"""Simulated shops with known best possible metrics: books, readers, notes, ratings."""
