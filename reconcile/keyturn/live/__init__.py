"""The real world behind the port: DigitalOcean over HTTP, the targets of a manifest, this machine."""
