"""The functions that a program can call: they read."""

from __future__ import annotations

from keyturn_provider.inputs import Props
from keyturn_provider.messages import KeyturnFailed
from keyturn_provider.plugin import imports
from keyturn_provider.plugin.settings import Settings

GET = "keyturn:index:getModelAccessKey"
LIST = "keyturn:index:listKeys"


def call(token: str, arguments: Props, settings: Settings) -> dict[str, object]:
    """Return what a function returns. Raises KeyturnError or KeyturnFailed."""
    if token == GET:
        return get_model_access_key(str(arguments.get("id") or ""), settings)
    if token == LIST:
        return list_keys(settings)
    raise KeyturnFailed(f"unknown function {token}; known: {GET}, {LIST}")


def get_model_access_key(key: str, settings: Settings) -> dict[str, object]:
    """Return the facts of a key by the id of its record."""
    from keyturn_provider.plugin import preview  # and with it what the library has for programs

    name, outputs, _ = imports.found(key, settings.complete({}, imports.PLACES), key)
    return {"id": name, **{fact: outputs.get(fact) for fact in (*preview.FACTS, "health", "owner")}}


def list_keys(settings: Settings) -> dict[str, object]:
    """Return the API keys of the account: uuid and name, in the order of their names."""
    listed = imports.listing(settings.complete({}, imports.PLACES))
    return {"keys": [{"uuid": key.uuid, "name": key.name} for key in sorted(listed, key=lambda key: key.name)]}
