"""What SQLite and PostgreSQL need to be alike: addresses, transactions, types of columns, failures in plain words."""
