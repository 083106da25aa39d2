"""Guards: what every evaluation and every comparison is checked for."""
