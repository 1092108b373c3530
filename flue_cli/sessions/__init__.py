"""Sessions: moving on the timeline, comparing, following, and editing data."""
