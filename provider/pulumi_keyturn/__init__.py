"""The Pulumi face of keyturn."""
