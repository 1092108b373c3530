"""Output for people and programs: results on stdout, everything else on stderr."""
