"""Train and compare any set of methods over several seeds under one protocol: behind `reckon compare --data`.

Entry point: `reckon.comparison.harness.run_comparison`.
"""
