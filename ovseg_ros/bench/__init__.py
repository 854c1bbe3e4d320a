"""How long things take: one way to measure, one shape of result."""
