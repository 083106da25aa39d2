"""Rewards: functions with TRL's signature, one float per trajectory."""
