"""The inputs of the resources: changes, mistakes, and the desired state.

Props are plain JSON. `pulumi.output.Unknown` can stand for any value that a preview does not know yet. The manifest's
rules and messages apply to the desired state. keyturn is imported only for that: comparing inputs is cheap.
"""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING

from keyturn_provider.spelling import spelled

if TYPE_CHECKING:
    from keyturn.core.errors import Mistake
    from keyturn.core.model import Desired, DesiredKey, Rotation

Props = Mapping[str, object]

ENTRY = ("name", "adopt", "deliver", "rotation", "smoke", "clean_targets")
"""The inputs with the names of the fields of a manifest's key."""

PLACES = ("targets", "records", "timing", "freeze")
"""The inputs with the names of top-level fields of a manifest."""

DYNAMIC = ("project", "stack", "parent", "resource_name")
"""Inputs that a dynamic resource's class sets: its provider does not get the URN. `parent` is that of a component."""

ORIGIN = (*DYNAMIC, "owner")
"""What tells which resource this is. The full provider sets `owner` from the URN, and none of the others."""

FULL = "#provider"
"""The end of each owner of the full provider. A dynamic resource that is deleted so knows that the key has moved on."""

KEY = (*ENTRY, *PLACES, "key", "rotation_trigger", "on_delete", "take_over", "expose_secret", "verify")
"""The inputs of a ModelAccessKey that a program may set."""

SMOKE_CHECK = ("deliveries", "targets", "timing", "smoke", "every")
"""The inputs of a SmokeCheck that a program may set."""

TRIGGER = "rotation_trigger"

RECORDS = "KEYTURN_RECORDS"
"""The variable with the record store of a resource that is looked up without `records`."""

POLICY = "KEYTURN_POLICY"
"""The variable with the file of the operator's policy, relative to the program's directory."""

CONFIGURED = {
    "DIGITALOCEAN_TOKEN": "keyturn:digitaloceanToken",
    "VAULT_TOKEN": "keyturn:vaultToken",
    "VAULT_ROLE_ID": "keyturn:vaultRoleId",
    "VAULT_SECRET_ID": "keyturn:vaultSecretId",
    "OP_CONNECT_TOKEN": "keyturn:opConnectToken",
    "OP_SERVICE_ACCOUNT_TOKEN": "keyturn:opServiceAccountToken",
    RECORDS: "keyturn:records",
    POLICY: "keyturn:policy",
}
"""The variables that the stack's configuration may set if the environment does not.

Only the environment may permit an origin for a credential: the configuration is part of the program.
"""

CHECKED = "smoke-check"
"""The key id for parsing a SmokeCheck. Nothing is ever written for it."""


def owner(props: Props) -> str:
    """Return the owner of this resource's record. It is unique among the resources of a stack."""
    if props.get("owner"):
        return str(props["owner"])
    return "pulumi:" + "/".join(_names(props, str(props.get("parent") or "").split("::", 2)[-1]))


def predecessor(owner: str) -> str:
    """Return the owner that a resource of the full provider succeeds: the dynamic one of the same place and name."""
    return owner.removesuffix(FULL)


def with_key(olds: Props, news: Props) -> dict[str, object]:
    """Return the inputs with `key` set: the previous one, so that a renamed resource keeps it, or a new one."""
    return {**news, "key": news.get("key") or olds.get("key") or identity(news)}


def identity(props: Props) -> str:
    """Return the default id of a resource: its project, stack, component and name."""
    return ".".join(_names(props, str(props.get("parent") or "").rpartition("::")[2]))


def unknown(value: object) -> bool:
    """Tell whether a value or a part of it is unknown."""
    if isinstance(value, Mapping):
        return any(unknown(item) for item in value.values())
    if isinstance(value, list | tuple):
        return any(unknown(item) for item in value)
    return is_unknown(value)


def is_unknown(value: object) -> bool:
    """Tell whether a value is `pulumi.output.Unknown`. Before that is imported there can be none."""
    return isinstance(value, getattr(sys.modules.get("pulumi.output"), "Unknown", ()))


def changed(olds: Props, news: Props, names: Iterable[str]) -> list[str]:
    """Return the names of the inputs that differ. None equals a missing input; an unknown one differs."""
    return [name for name in names if unknown(news.get(name)) or olds.get(name) != news.get(name)]


def given(props: Props, names: Iterable[str]) -> dict[str, object]:
    """Return those of the named inputs that are set."""
    return {name: props[name] for name in names if props.get(name) is not None}


def trigger(value: object) -> str:
    """Return 16 hex digits that identify a rotation trigger. Empty if there is none."""
    if value is None:
        return ""
    import hashlib

    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def key_failures(olds: Props, news: Props, environment: Mapping[str, str]) -> list[str]:
    """Return all mistakes in the inputs of a key. Unknown inputs, and those that depend on them, are checked later."""
    from keyturn.core.errors import InputError, ManifestError, PolicyError

    unsure = {name for name in news if unknown(news[name])}
    found = []
    if "key" in olds and not {"key"} & unsure and olds["key"] != news["key"]:
        found.append(
            f"key: must not change (it is {olds['key']!r}): it names the record. Keep it, or declare a new resource "
            "that takes over the API key by `adopt`, and release this one with " + spelled("{retain}")
        )
    if news.get("on_delete") not in (None, "delete", "retain") and "on_delete" not in unsure:
        found.append("on_delete: must be 'delete' or 'retain'")
    flags = ("take_over", "expose_secret", "verify")
    found += [f"{name}: must be true or false" for name in flags if not _is_flag(news.get(name)) and name not in unsure]
    known = {name: value for name, value in news.items() if name not in unsure}
    if "key" in unsure:
        known["key"] = CHECKED
    try:
        key_of(known, environment)
    except ManifestError as error:
        found += _told(error.mistakes, str(known["key"]), unsure)
    except PolicyError as error:
        found += _told(error.violations, str(known["key"]), unsure)
    except InputError as error:
        found.append(str(error))
    return found


def new_failures(olds: Props, news: Props, environment: Mapping[str, str]) -> list[str]:
    """Return all mistakes in the inputs of a key, like `key_failures`; none if an up has accepted the same inputs.

    A policy may have changed, so with one the inputs are always checked.
    """
    same = POLICY not in environment and not changed(olds, news, KEY)
    return [] if same else key_failures(olds, news, environment)


def check_failures(news: Props, environment: Mapping[str, str]) -> list[str]:
    """Return all mistakes in the inputs of a SmokeCheck, like `key_failures`."""
    from keyturn.core.errors import ManifestError

    unsure = {"deliver" if name == "deliveries" else name for name in news if unknown(news[name])}
    try:
        check_of({name: value for name, value in news.items() if not unknown(value)}, environment)
    except ManifestError as error:
        return [mistake.replace("deliver", "deliveries", 1) for mistake in _told(error.mistakes, CHECKED, unsure)]
    return []


def key_of(props: Props, environment: Mapping[str, str]) -> tuple[Desired, DesiredKey]:
    """Return the desired state of a key, with its targets, records and timing.

    Raises:
        ManifestError: all mistakes, or those of the operator's policy.
        PolicyError: all that the policy does not allow.
        InputError: KEYTURN_RECORDS is not a JSON object.
    """
    entry = given(props, ENTRY)
    loaded = _load({**_places(props, environment), "keys": {str(props["key"]): entry}}, environment)
    desired = _permitted(loaded, owner(props), environment)
    return desired, replace(desired.keys[0], owner=owner(props))


def surroundings_of(props: Props, environment: Mapping[str, str]) -> Desired:
    """Return targets, records and timing without a key. Raises like `key_of`."""
    places = _shared({**_places(props, environment), "keys": {}}, environment)
    return _permitted(places, owner(props), environment)


def check_of(props: Props, environment: Mapping[str, str]) -> tuple[Desired, DesiredKey]:
    """Return the desired state of a SmokeCheck as a key that is never written. Raises ManifestError."""
    places = props.get("deliveries")
    deliver = [_place(item) for item in places] if isinstance(places, list) else places
    entry = {**given(props, ("smoke",)), "deliver": deliver if deliver is not None else []}
    if props.get("every") is not None:
        entry["rotation"] = {"strategy": "in-place", "every": props["every"]}
    data = {**given(props, ("targets", "timing")), "records": {"target": "local"}, "keys": {CHECKED: entry}}
    desired = _load(data, environment)
    return desired, desired.keys[0]


def rotation(props: Props, environment: Mapping[str, str]) -> Rotation:
    """Return the rotation of a key with its freezes as the policy bounds them, from inputs that were checked before."""
    entry = {"state": "absent", **given(props, ("rotation",))}
    data = {"records": {"target": "local"}, "keys": {CHECKED: entry}, **given(props, ("freeze",))}
    desired = _shared(data, {})
    if desired.freezes and POLICY in environment:
        from pathlib import Path

        from keyturn import manifest

        policy = manifest.read_policy(Path(environment[POLICY]))
        desired = manifest.permitted(policy, replace(desired, owner=owner(props)))
    return desired.keys[0].rotation


def _names(props: Props, parent: str) -> list[str]:
    found = [str(props.get(name) or "") for name in ("project", "stack", "resource_name")]
    return [*found[:2], parent, *found[2:]] if parent else found


def _place(item: object) -> object:
    """Return a delivery without its version, which only shows that it changed."""
    return {name: item[name] for name in item if name != "version"} if isinstance(item, Mapping) else item


def _places(props: Props, environment: Mapping[str, str]) -> dict[str, object]:
    from keyturn.core.errors import InputError

    places = given(props, PLACES)
    if "records" in places or "targets" in places or not environment.get(RECORDS):
        return places
    remedy = 'Set it to the settings of a target: {"type": "vault", "address": …, "mount": …, "prefix": "keyturn"}.'
    try:
        target = json.loads(environment[RECORDS])
    except ValueError:
        raise InputError("this is not JSON", where=RECORDS, remedy=remedy) from None
    if not isinstance(target, dict):
        raise InputError("this is not a JSON object", where=RECORDS, remedy=remedy)
    records = {"target": "records", **given(target, ("prefix",))}
    settings = {name: value for name, value in target.items() if name != "prefix"}
    return {**places, "targets": {"records": settings}, "records": records}


def _load(data: Mapping[str, object], environment: Mapping[str, str]) -> Desired:
    from keyturn import manifest

    whole = {"apiVersion": "keyturn/v1", "name": "pulumi", **{name: _plain(value) for name, value in data.items()}}
    return manifest.load_data(whole, "inputs", environment)


_loading = threading.Lock()


def _shared(data: Mapping[str, object], environment: Mapping[str, str]) -> Desired:
    """Return the same as `_load` for what the keys of a program have in common: the first one loads it.

    The other ones wait for it: the engine begins with many reads at once.
    """
    with _loading:
        return _loaded(json.dumps(data, sort_keys=True), frozenset(environment.items()))


@lru_cache(maxsize=64)
def _loaded(data: str, environment: frozenset[tuple[str, str]]) -> Desired:
    return _load(json.loads(data), dict(environment))


def _permitted(desired: Desired, owner: str, environment: Mapping[str, str]) -> Desired:
    """Return the desired state with what the operator's policy allows it, if there is a policy. Raises PolicyError."""
    from pathlib import Path

    from keyturn import manifest
    from keyturn.core.errors import PolicyError

    if POLICY not in environment:
        return desired
    policy = manifest.read_policy(Path(environment[POLICY]))
    # A program has no limit of its own, since the engine works on one resource at a time.
    owned = replace(desired, owner=owner, rotations_per_run=0)
    if violations := manifest.check_policy(policy, owned, base=Path.cwd()):
        raise PolicyError(violations)
    return manifest.permitted(policy, owned)


def _plain(value: object) -> object:
    """Return the value without None, and with whole numbers as int: the engine has only floating-point numbers."""
    if isinstance(value, Mapping):
        return {name: _plain(item) for name, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _told(mistakes: Iterable[Mistake], key: str, unsure: set[str]) -> list[str]:
    """Return the mistakes with the names of the inputs, without those that are due to an unknown input."""
    from keyturn.manifest.mistakes import show_path

    prefix = show_path(("keys", key))
    found = []
    for mistake in mistakes:
        path = "key" if mistake.path == prefix else mistake.path.removeprefix(f"{prefix}.")
        field = path.partition(".")[0].partition("[")[0]
        follows = field in unsure or ({"targets", "records"} & unsure and field in {"deliver", "targets", "records"})
        if not follows:
            found.append(f"{path}: {mistake.text}")
    return found


def _is_flag(value: object) -> bool:
    return value is None or isinstance(value, bool)
