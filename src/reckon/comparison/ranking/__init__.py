"""What a comparison of rankings adds to the harness."""
