"""Conversations that other programs keep in databases of their own."""
