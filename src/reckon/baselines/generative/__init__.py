"""Baselines that write an item token by token: TIGER, BIGRec, D3."""
