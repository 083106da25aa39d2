"""Teachers: who is asked for reasoning, how patiently, and the traces that are kept."""
