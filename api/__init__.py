"""The REST API: thin routes, authentication, errors."""
