"""What every training shares: the optimiser section, transformers' arguments, the loop around a trainer."""
