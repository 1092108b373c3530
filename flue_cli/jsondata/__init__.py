"""JSON values: checked on their way in and out, addressed and compared."""
