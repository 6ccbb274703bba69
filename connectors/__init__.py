"""Protocols of the world outside, a file each. Clients and settings are injected; Temporal and SQLAlchemy are unknown."""
