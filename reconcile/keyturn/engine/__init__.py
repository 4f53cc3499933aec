"""Doing: the loop that observes, decides, performs and writes down, for one key and for many."""
