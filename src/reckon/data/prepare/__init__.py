"""From a source to a dataset directory: read, clean, filter, split, relabel, write."""
