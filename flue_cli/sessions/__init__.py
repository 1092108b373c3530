"""Sessions: moves on the timeline, comparison, following, and edits of data."""
