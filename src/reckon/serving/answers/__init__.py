"""Answers to requests: the chain of steps, what it needs to know of a user, and reasoning written in advance."""
