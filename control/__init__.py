"""Commands on runs and definitions, and the loops that keep both in line with Temporal."""
