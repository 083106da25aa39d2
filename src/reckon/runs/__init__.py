"""Run directories: written by a training, read by whatever comes after it."""
