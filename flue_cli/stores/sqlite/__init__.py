"""SQLite store: sessions in one file."""
