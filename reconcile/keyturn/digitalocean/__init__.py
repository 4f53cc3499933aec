"""The DigitalOcean API: the control API that manages model access keys, and the inference API that accepts them."""

from keyturn.digitalocean.budget import RateBudget
from keyturn.digitalocean.inference import InferenceApi
from keyturn.digitalocean.keys import ControlApi

__all__ = ["ControlApi", "InferenceApi", "RateBudget"]
