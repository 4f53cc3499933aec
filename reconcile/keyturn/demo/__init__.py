"""The demo: a sandbox, an OpenBao, and the script of the whole life of a key."""
