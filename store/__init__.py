"""Postgres: tables, sessions, repositories, migrations."""
