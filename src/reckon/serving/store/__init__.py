"""What the service remembers, in SQLite or PostgreSQL."""
