"""The configuration of the provider: credentials, and defaults for the inputs of every resource."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import NamedTuple

from keyturn_provider import inputs, session
from keyturn_provider.inputs import Props
from keyturn_provider.plugin import words

DEFAULTS = ("targets", "records", "smoke", "timing", "rotation")
"""The inputs that the configuration can set for all resources."""

TOKENS = tuple(
    variable.removeprefix("keyturn:") for name, variable in inputs.CONFIGURED.items() if name in session.CREDENTIALS
)
"""The settings that are secret."""

REFRESH = "refreshBeforeUpdate"
KNOWN = (*DEFAULTS, *TOKENS, "policy", REFRESH)


class Settings(NamedTuple):
    """The settings of one provider process."""

    defaults: Mapping[str, object] = {}
    refresh: bool = True
    """Whether each preview and up reads what the key's places hold now."""

    def complete(self, news: Props, names: tuple[str, ...] = DEFAULTS) -> dict[str, object]:
        """Return inputs with defaults for those of the names that are not set. Targets are joined by their names."""
        defaults = {name: self.defaults[name] for name in names if name in self.defaults}
        own, shared = news.get("targets"), defaults.get("targets")
        joined = {"targets": {**shared, **own}} if isinstance(own, Mapping) and isinstance(shared, Mapping) else {}
        return {**defaults, **inputs.given(news, news), **joined}


def failures(given: Props) -> list[str]:
    """Return all mistakes in the configuration."""
    found = [
        f"unknown setting {name}; known: {', '.join(KNOWN)}"
        for name in given
        if name not in KNOWN and not name.startswith("__") and name != "version"
    ]
    for name in DEFAULTS:
        value = _decoded(given.get(name))
        if value is not None and not isinstance(value, Mapping) and not inputs.is_unknown(value):
            found.append(f"{name}: must be an object, or the JSON text of one")
    if _decoded(given.get(REFRESH)) not in (None, True, False) and not inputs.is_unknown(given.get(REFRESH)):
        found.append(f"{REFRESH}: must be true or false")
    return found


def configured(given: Props, name: str) -> Settings:
    """Take the configuration of the provider of this name. Credentials go to the session.

    The environment's come first for the provider that the engine makes by itself, `default…`, and last for one that a
    program declares. `records` with a `type` is the place of records itself (KEYTURN_RECORDS), for keys that are only
    looked up.
    """
    known = {name: _decoded(value) for name, value in given.items() if not inputs.unknown(_decoded(value))}
    texts = {f"keyturn:{name}": known[name] for name in (*TOKENS, "policy") if name in known}
    records = known.get("records")
    if isinstance(records, Mapping) and "type" in records:
        texts["keyturn:records"] = json.dumps(records)
        del known["records"]
    session.configure(texts.get, own=not name.startswith("default"))
    defaults = words.inward({name: known[name] for name in DEFAULTS if known.get(name) is not None})
    return Settings(defaults, known.get(REFRESH) is not False)


def _decoded(value: object) -> object:
    """Return a value that may have come as JSON text: the engine passes all that is no text so."""
    if not isinstance(value, str) or not value.startswith(("{", "true", "false")):
        return value
    try:
        return json.loads(value)
    except ValueError:
        return value
