"""Fusion of several recommenders: members, weights, the baseline. Entry point: `fusion.Fusion`."""
