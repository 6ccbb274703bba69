"""Stand-ins of outside providers that speak the real wire protocols, for development and tests."""
