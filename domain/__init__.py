"""The language of the platform: pure values and rules, no I/O, no clock, no Temporal, no SQL."""
