"""Model access keys as code for DigitalOcean serverless inference."""

__version__ = "0.1.0"
