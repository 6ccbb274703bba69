"""The command line: a thin layer over the commands of ``control``, for people and, with ``--json``, for machines."""
