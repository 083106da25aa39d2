"""The report on predicted ratings."""
