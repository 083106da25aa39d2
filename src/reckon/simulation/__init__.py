"""Simulated shops whose best possible is known: books, readers, notes, ratings."""
