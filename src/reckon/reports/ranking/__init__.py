"""The report on rankings."""
