"""Targets: the places that hold secrets and records, one file for each kind."""
