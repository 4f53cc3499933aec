"""The full Pulumi provider: the process that engines start, for programs in every language."""
