"""Requests to GitHub, held against the API description that GitHub publishes."""
