"""Reinforcement learning for policies that write before they recommend."""
