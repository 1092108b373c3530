"""Waiting for a session: its lock, the wait queue, and the liveness of the processes that hold leases."""
