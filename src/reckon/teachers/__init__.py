"""Teachers: models or files that write reasoning, requests to them, and the traces that are kept."""
