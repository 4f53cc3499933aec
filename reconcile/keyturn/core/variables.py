"""PURE: the environment variables of keyturn's own, and those of others that are easily taken for ones it reads."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from difflib import get_close_matches
from typing import Final

OWN: Final[Mapping[str, str]] = {
    "KEYTURN_ALLOWED_COMMANDS": "programs that a manifest may run",
    "KEYTURN_ALLOWED_CONTEXTS": "contexts of KUBECONFIG that a manifest may use",
    "KEYTURN_ALLOWED_ORIGINS": "further origins that may receive credentials",
    "KEYTURN_ALLOWED_PLACES": "places of many owners to which a manifest may deliver",
    "KEYTURN_ALLOWED_PREFIXES": "values of `auth.env_prefix` that a manifest may use",
    "KEYTURN_ALLOWED_ROOTS": "directories outside the manifest's own that a target of files may use",
    "KEYTURN_API_URL": "URL of the control API; default: https://api.digitalocean.com",
    "KEYTURN_INFERENCE_URL": "URL of the inference API; default: https://inference.do-ai.run",
    "KEYTURN_KEY_PREFIXES": "further prefixes of model access keys",
    "KEYTURN_POLICY": "file of the operator's policy",
    "KEYTURN_RECORD_KEY": "key that signs records and claims",
}
"""The variables named KEYTURN_… that keyturn reads, with their meaning. `${KEYTURN_…}` in a manifest names others."""

TOKENS: Final = ("DIGITALOCEAN_TOKEN", "DIGITALOCEAN_ACCESS_TOKEN")
"""The variables with the account token. The first one that is set is used."""

API: Final = ("KEYTURN_API_URL", "https://api.digitalocean.com")
"""The variable with the URL of the control API, and its default."""

PREFIX: Final = "KEYTURN_"

GIVEN: Final = ("KEYTURN_GENERATION", "KEYTURN_KEY", "KEYTURN_OWNER", "KEYTURN_PLACES")
"""Variables that keyturn sets for a program that it runs."""

FAMILIES: Final = ("KEYTURN_NOTIFY_",)
"""Variables that begin so are read, and the rest of their name is the manifest's."""

INSTEAD: Final[Mapping[str, str]] = {
    "BAO_ADDR": "VAULT_ADDR",
    "BAO_CACERT": "VAULT_CACERT",
    "BAO_TOKEN": "VAULT_TOKEN",
    "DO_TOKEN": "DIGITALOCEAN_TOKEN",
    "DIGITALOCEAN_API_TOKEN": "DIGITALOCEAN_TOKEN",
}
"""Variables of other programs that keyturn does not read, and the one that it reads instead."""


def account_token(environment: Mapping[str, str]) -> tuple[str, str]:
    """Return the variable that holds the account token, and the token; two empty texts if there is none."""
    found = ((name, text) for name in TOKENS if (text := environment.get(name, "").strip()))
    return next(found, ("", ""))


def read(name: str) -> bool:
    """Tell whether keyturn itself reads or sets this variable: a manifest may not."""
    return name in OWN or name in GIVEN or name.startswith(FAMILIES)


def strange(environment: Collection[str], used: Collection[str]) -> Iterator[tuple[str, str]]:
    """Yield each variable that is set and not read, with the name of the one that may be meant, or an empty text.

    `environment` holds the names that are set, `used` those that the manifests name in `${…}`.
    """
    for name in sorted(environment):
        known = read(name) or name in used
        if name.startswith(PREFIX) and not known:
            near = get_close_matches(name, [*OWN, *used], n=1, cutoff=0.8)
            yield name, near[0] if near else ""
        elif (meant := INSTEAD.get(name)) and meant not in environment:
            yield name, meant
