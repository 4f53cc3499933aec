"""The real implementation of the World port: DigitalOcean over HTTP, the targets of a manifest, this machine."""
