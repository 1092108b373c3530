"""What a person or a program sees: results on stdout, everything else on stderr."""
