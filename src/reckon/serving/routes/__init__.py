"""The routes: each parses, makes one call and returns what comes back."""
