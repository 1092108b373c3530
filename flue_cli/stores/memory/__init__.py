"""Memory store: sessions that live as long as the process."""
