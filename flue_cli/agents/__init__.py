"""Agents: their interface, where they are found, how they are loaded."""
