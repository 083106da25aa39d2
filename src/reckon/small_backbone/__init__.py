"""Small language models made on the spot: a catalog's own text, a lexical start, induction heads, pretraining."""
