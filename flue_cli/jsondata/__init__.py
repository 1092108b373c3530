"""JSON values: addressed and compared."""
