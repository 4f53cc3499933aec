"""Targets: what holds secrets and records. One file per kind."""
