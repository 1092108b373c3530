"""Searching turns: the full-text index, and looking things up in it."""
