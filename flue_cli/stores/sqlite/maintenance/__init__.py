"""Care for a database file: backup, check-up and figures."""
