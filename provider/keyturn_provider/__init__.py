"""The work of the Pulumi faces: the same machine and the same records as the command line."""
