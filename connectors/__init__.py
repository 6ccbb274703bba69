"""Protocols of the world outside, a file each. Clients and settings are injected; neither Temporal nor SQLAlchemy."""
