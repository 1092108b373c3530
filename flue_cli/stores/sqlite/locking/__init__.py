"""Locks of sessions: leases, the wait queue, and the processes that hold them."""
