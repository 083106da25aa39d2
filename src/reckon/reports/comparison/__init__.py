"""Page and tables of a comparison."""
