"""The demo: a sandbox, an OpenBao, and a script for the life of a key."""
