"""JSON values: strict encoding and decoding, paths into them, and diffs."""
