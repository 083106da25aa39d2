"""Simulated shops whose best possible is known: books, readers, notes, ratings, and the oracle that knows them."""
