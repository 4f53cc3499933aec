"""The DigitalOcean API: the control API that manages model access keys, and the inference API that accepts them."""

from keyturn.live.digitalocean.budget import RateBudget
from keyturn.live.digitalocean.inference import InferenceApi
from keyturn.live.digitalocean.keys import ControlApi

__all__ = ["ControlApi", "InferenceApi", "RateBudget"]
