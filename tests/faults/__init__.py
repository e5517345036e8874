"""Faults of every kind, injected by seed into the code that writes and reads data sets: `python -m faults --help`."""
