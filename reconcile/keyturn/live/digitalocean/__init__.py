"""Clients of DigitalOcean: the control API, which manages model access keys, and the inference API."""

from keyturn.live.digitalocean.budget import RateBudget
from keyturn.live.digitalocean.inference import InferenceApi
from keyturn.live.digitalocean.keys import ControlApi

__all__ = ["ControlApi", "InferenceApi", "RateBudget"]
