"""Agents: their interface, discovery, loading, and the recording of their calls."""
