"""PURE: detects a literal secret by its prefix, or by the name of its field."""

from __future__ import annotations

import re

_START = re.compile(
    r"""\s*(?:
        sk-do- | dop_v1_ | doo_v1_ | hvs\. | hvb\. | eyJ
      | s\.[A-Za-z0-9]{24}
      | (?:AKIA|ASIA)[A-Z0-9]{8}
    )""",
    re.VERBOSE,
)
_INSIDE = re.compile(
    r"""(?<![A-Za-z0-9])(?:
        (?:sk-do-|dop_v1_|doo_v1_|hvs\.|hvb\.|eyJ)[A-Za-z0-9_-]{12}
      | (?:AKIA|ASIA)[A-Z0-9]{16}(?![A-Za-z0-9])
    )""",
    re.VERBOSE,
)
_HOOK = re.compile(
    r"""hooks\.slack(?:-gov)?\.com/ | discord(?:app)?\.com/api/(?:v\d+/)?webhooks/ | \.webhook\.office\.com/
      | \.logic\.azure\.com[:/] | chat\.googleapis\.com/v1/spaces/ | api\.telegram\.org/bot""",
    re.VERBOSE | re.IGNORECASE,
)
_BARE = re.compile(r"(?:sk-do-|dop_v1_|doo_v1_|hvs\.|hvb\.|eyJ)[!-/:-@\[-`{-~…]*")
"""A prefix without anything behind it, as a sentence names it."""
_WORD = re.compile(r"""[^\s'"`(){}\[\]<>,;!%*&]+""")
_FIELDS = frozenset(
    {
        "accesskey",
        "apikey",
        "clientsecret",
        "credential",
        "credentials",
        "passphrase",
        "passwd",
        "password",
        "privatekey",
        "secretaccesskey",
        "secretid",
        "secretkey",
        "sessiontoken",
        "token",
    }
)


def looks_secret(text: str) -> bool:
    """Tell whether `text` starts like a known kind of secret, contains a long one, or is a chat webhook URL."""
    return bool(_START.match(text) or _INSIDE.search(text) or _HOOK.search(text))


def masked(text: str) -> str:
    """Return `text` with every word replaced that looks like a secret: someone may have pasted one as a name.

    A prefix by itself, such as `sk-do-`, is left as it is.
    """
    return _WORD.sub(_masked, text)


def names_secret(field: str) -> bool:
    """Tell whether a field of this name holds a secret, in any spelling (`secret_id`, `secretId`)."""
    return field.lower().replace("_", "").replace("-", "") in _FIELDS


def _masked(word: re.Match[str]) -> str:
    return "[secret]" if looks_secret(word[0]) and not _BARE.fullmatch(word[0]) else word[0]
