"""Postgres and Temporal as child processes, for development and tests: nothing to install, data kept in a folder."""
