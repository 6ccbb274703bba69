"""Temporal activities: perform an action as an effect, keep the run's row."""
