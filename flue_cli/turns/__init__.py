"""Turns: running an agent for a prompt, stored or as a dry run, and watching over it."""
