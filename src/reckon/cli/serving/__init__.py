"""Commands of the HTTP service: run it, its keys, its store."""
