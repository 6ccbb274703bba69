"""Temporal workflows: the interpreter of definitions. Deterministic: no I/O, clock, chance or environment."""
