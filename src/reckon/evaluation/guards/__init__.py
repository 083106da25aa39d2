"""Guards: checks of every evaluation and every comparison."""
