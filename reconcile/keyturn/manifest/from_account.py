"""PURE: drafts a manifest with an entry per API key that exists. Every name of the API is untrusted text."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

import yaml

from keyturn.core.literals import looks_secret
from keyturn.core.model import ApiKey
from keyturn.core.sanitize import plain, unsafe
from keyturn.manifest.schema import NAME_LENGTH, UUID

MODEL = "llama3.3-70b-instruct"

_HEAD = """\
# yaml-language-server: $schema=keyturn.schema.json
# The API keys of the account, as `keyturn init --from-account` found them. Never put a secret in this file.
# Only keys that are listed here are touched, and only by `keyturn apply`. First go through the lines with TO DO.
#
# adopt: your consent to take over the API key.
#   existing    keeps its present secret. Put that secret into the delivery first, or let keyturn ask for it:
#               keyturn adopt KEY --secret stdin
#               From a pipe, add --yes: printf %s "$SECRET" | keyturn adopt KEY --secret stdin --yes
#   regenerate  makes a new secret at the first apply, and the present one dies at once.
# rotation.strategy:
#   in-place     one API key: consumers are refused from a rotation until they read the new secret.
#   alternating  two API keys, NAME-a and NAME-b, in turn: no outage. Apply renames the one that exists to NAME-a, and
#                tells you to make NAME-b in the control panel.
apiVersion: keyturn/v1
name: my-keys # TO DO: the owner, as written into the records; unique per manifest

targets:
  vault: # TO DO: where consumers read their secrets; other kinds: `keyturn targets`
    type: vault
    address: {address}
    mount: secret
"""
_DEFAULTS = f"""
defaults:
  rotation: {{strategy: in-place}} # on demand only. TO DO: add every: 90d; or {{strategy: alternating, every: 30d}}
  smoke: {{model: {MODEL}}} # TO DO: a model that each key may use

"""
_POOL = """
# These look like spares, and are left out: {names}
# A pool makes a missing API key take one of them, instead of asking you to make one:
# pool: {{prefix: {prefix}, low: 2}}
"""
_UUID = re.compile(UUID)
_SPARE = re.compile(r"(?:spares?|pool)[-_. ]", re.IGNORECASE)
_WORD = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")
_RESERVED = frozenset({"true", "false", "null", "yes", "no", "on", "off", "y", "n"})
_LENGTH = 48
"""Characters of an id that is made from a name."""


@dataclass(frozen=True, slots=True)
class Drafted:
    """The text of a manifest, and what became of the API keys."""

    text: str
    entries: int
    left_out: int


def from_account(
    keys: Sequence[ApiKey], *, address: str, namespace: str = "", owned: Mapping[str, str] | None = None
) -> Drafted:
    """Return a manifest that adopts these API keys, and passes `keyturn validate` as it is.

    `address` is that of Vault, `namespace` its namespace or empty. `owned` says for the uuid of an API key whose it is;
    such a key is left out, with a comment.
    """
    live = sorted((key for key in keys if not key.deleted_at), key=lambda key: (key.name, key.uuid))
    known = owned or {}
    mine = [key for key in live if key.uuid not in known and _UUID.fullmatch(key.uuid)]
    spares = [key for key in mine if _SPARE.match(key.name)]
    entries = [key for key in mine if key not in spares]
    text = _HEAD.replace("{address}", quoted(address))
    if namespace:
        text += f"    namespace: {quoted(namespace)}\n"
    if spares:
        found = _SPARE.match(spares[0].name)
        prefix = quoted(found[0] if found else "spare-")
        text += _POOL.format(names=", ".join(_comment(key.name) for key in spares), prefix=prefix)
    text += _DEFAULTS
    left = [
        f"# Left out: {_comment(key.name)} ({_comment(key.uuid)}) "
        + (f"belongs to {_comment(known[key.uuid])}" if key.uuid in known else "has no uuid that a manifest can name")
        for key in live
        if key not in mine
    ]
    text += "".join(f"{row}\n" for row in left)
    text += "keys:\n" if entries else "keys: {} # the account has no API key to write here\n"
    text += "\n".join(_entries(entries))
    return Drafted(text, len(entries), len(left) + len(spares))


def _entries(keys: Sequence[ApiKey]) -> Iterator[str]:
    """Yield the text of an entry per key. Keys whose name a manifest can say come to their ids first."""
    names = Counter(key.name for key in keys)
    single = [key for key in keys if _sayable(key.name) and names[key.name] == 1]
    others = [key for key in keys if key not in single]
    taken: set[str] = set()
    by_name = {key.name: key for key in single}
    for key in single:
        made = _id(key, taken, ())
        yield _pair(key, made, by_name) + _entry(key, made, key.name, "")
    first: set[str] = set()
    for key in others:
        if _sayable(key.name) and key.name not in first:
            first.add(key.name)
            why = f"{names[key.name]} API keys have this name: the uuid says which one this is"
            yield _entry(key, _id(key, taken, ()), key.name, why)
            continue
        reserved = {name.casefold() for name in names}
        made = _id(key, taken, reserved)
        why = "of the same name as another" if _sayable(key.name) else "a name that a manifest cannot say"
        confirm = f"`keyturn adopt {made}` confirms it and gives it the name below"
        yield _entry(key, made, made, f"now called {_comment(key.name)}, {why}: {confirm}")


def _entry(key: ApiKey, made: str, name: str, why: str) -> str:
    since = f" # created {key.created_at:%Y-%m-%d}" if key.created_at else ""
    return (
        f"  {_key(made)}:{since}\n" + (f"    # {why}\n" if why else "") + f"    name: {quoted(name)}\n"
        f"    adopt: {{secret: existing, a: {quoted(key.uuid)}}} # or regenerate\n"
        f"    deliver:\n"
        f"      - {{target: vault, path: apps/{made}, field: API_KEY}} # TO DO: where its consumers read it\n"
    )


def _key(made: str) -> str:
    return made if _WORD.fullmatch(made) and made.lower() not in _RESERVED else quoted(made)


def _pair(a: ApiKey, made: str, by_name: Mapping[str, ApiKey]) -> str:
    """Return a comment for an API key NAME-a with a NAME-b beside it: the two may be one alternating key."""
    name, b = a.name[:-2], by_name.get(f"{a.name[:-2]}-b")
    if not a.name.endswith("-a") or not made.endswith("-a") or b is None or not name.strip() or name in by_name:
        return ""
    return (
        f"  # TO DO: {_comment(a.name)} and {_comment(b.name)} may be one alternating key. If so, write this instead:\n"
        f"  # {_key(made[:-2])}:\n"
        f"  #   name: {quoted(name)}\n"
        f"  #   adopt: {{secret: existing, a: {quoted(a.uuid)}, b: {quoted(b.uuid)}, live: a}}\n"
        "  #   # live: the one whose secret is in use\n"
        f"  #   deliver:\n"
        f"  #     - {{target: vault, path: apps/{made[:-2]}, field: API_KEY}} # TO DO: where its consumers read it\n"
        "  #   rotation: {strategy: alternating, every: 30d}\n"
    )


def _id(key: ApiKey, taken: set[str], reserved: Collection[str]) -> str:
    """Return a new id like the key's name, and add it to `taken`. Ids differ in more than upper and lower case."""
    letters = unicodedata.normalize("NFKD", key.name).encode("ascii", "ignore").decode()
    word = re.sub(r"[^A-Za-z0-9._-]+", "-", letters)[:_LENGTH].strip("-._")
    if not word or looks_secret(word) or looks_secret(f"apps/{word}"):
        word = f"key-{key.uuid[:8]}"
    free: Callable[[str], bool] = lambda one: one.casefold() not in taken and one.casefold() not in reserved  # noqa: E731
    made = word if free(word) else next(one for one in (f"{word}-{n}" for n in range(2, 10**6)) if free(one))
    taken.add(made.casefold())
    return made


def _sayable(name: str) -> bool:
    """Tell whether a manifest may hold a name: plain text, no secret, and nothing that reads a variable."""
    return (
        0 < len(name) <= NAME_LENGTH
        and name == name.strip()
        and not looks_secret(name)
        and not unsafe(name)
        and "${" not in name
        and name.isprintable()
    )


def quoted(text: str) -> str:
    """Return a text as a YAML scalar in double quotes, on one line."""
    dumped: str = yaml.dump(text, Dumper=yaml.SafeDumper, default_style='"', allow_unicode=True, width=10**9)
    return dumped.rstrip("\n")


def _comment(text: str) -> str:
    """Return a text that cannot end a comment: one line of printable characters, secrets masked."""
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in plain(text))
