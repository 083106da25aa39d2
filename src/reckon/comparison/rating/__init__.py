"""What a comparison of predicted ratings adds to the harness."""
