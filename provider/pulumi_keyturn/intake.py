"""Turns inputs into what is desired, by the rules of the manifest: its fields, its distrust and its words."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace

from keyturn import manifest
from keyturn.core.errors import InputError, ManifestError
from keyturn.core.model import Delivery, Desired, DesiredKey, Rotation
from keyturn.manifest.mistakes import show_path
from pulumi_keyturn import inputs
from pulumi_keyturn.inputs import Props

RECORDS = "KEYTURN_RECORDS"
CHECKED = "smoke-check"
"""The key id under which a SmokeCheck is read; nothing is ever written for it."""


def key_failures(olds: Props, news: Props, environment: Mapping[str, str]) -> list[str]:
    """Return every mistake in the inputs of a key; what is unknown yet, or depends on it, is left for later."""
    unsure = {name for name in news if inputs.unknown(news[name])}
    found = []
    if "key" in olds and not {"key"} & unsure and olds["key"] != news["key"]:
        found.append(
            f"key: may not change (it is {olds['key']!r}): it names the record. Keep it, or declare a new resource "
            "that takes the API key over by `adopt`, and let this one go with on_delete='retain'"
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
        found += _told(error, str(known["key"]), unsure)
    except InputError as error:
        found.append(str(error))
    return found


def check_failures(news: Props, environment: Mapping[str, str]) -> list[str]:
    """Return every mistake in the inputs of a SmokeCheck, like `key_failures`."""
    unsure = {"deliver" if name == "deliveries" else name for name in news if inputs.unknown(news[name])}
    try:
        check_of({name: value for name, value in news.items() if not inputs.unknown(value)}, environment)
    except ManifestError as error:
        return [mistake.replace("deliver", "deliveries", 1) for mistake in _told(error, CHECKED, unsure)]
    return []


def key_of(props: Props, environment: Mapping[str, str]) -> tuple[Desired, DesiredKey]:
    """Return the surroundings and the desired state of a key.

    Raises:
        ManifestError: every mistake.
        InputError: KEYTURN_RECORDS is no JSON object.
    """
    entry = inputs.given(props, inputs.ENTRY)
    desired = _load({**_places(props, environment), "keys": {str(props["key"]): entry}}, environment)
    return desired, replace(desired.keys[0], owner=inputs.owner(props))


def surroundings_of(props: Props, environment: Mapping[str, str]) -> Desired:
    """Return targets, records and timing without any key; raises like `key_of`."""
    return _load({**_places(props, environment), "keys": {}}, environment)


def check_of(props: Props, environment: Mapping[str, str]) -> tuple[Desired, DesiredKey]:
    """Return what a SmokeCheck tries, as a key that is never written; raises ManifestError."""
    places = props.get("deliveries")
    deliver = [_place(item) for item in places] if isinstance(places, list) else places
    entry = {**inputs.given(props, ("smoke",)), "deliver": deliver if deliver is not None else []}
    if props.get("every") is not None:
        entry["rotation"] = {"strategy": "in-place", "every": props["every"]}
    data = {**inputs.given(props, ("targets", "timing")), "records": {"target": "local"}, "keys": {CHECKED: entry}}
    desired = _load(data, environment)
    return desired, desired.keys[0]


def rotation(props: Props) -> Rotation:
    """Return how and when a key rotates, from inputs that were checked before."""
    entry = {"state": "absent", **inputs.given(props, ("rotation",))}
    return _load({"records": {"target": "local"}, "keys": {CHECKED: entry}}, {}).keys[0].rotation


def deliveries(value: object) -> tuple[Delivery, ...]:
    """Return the places in an input or output that lists them."""
    items = value if isinstance(value, list) else []
    return tuple(Delivery(str(item["target"]), str(item["path"]), str(item.get("field") or "")) for item in items)


def _place(item: object) -> object:
    """Return a delivery without its version, which tells nothing but that it changed."""
    return {name: item[name] for name in item if name != "version"} if isinstance(item, Mapping) else item


def _places(props: Props, environment: Mapping[str, str]) -> dict[str, object]:
    places = inputs.given(props, inputs.PLACES)
    if "records" in places or "targets" in places or not environment.get(RECORDS):
        return places
    remedy = 'Write a target\'s settings: {"type": "vault", "address": …, "mount": …, "prefix": "keyturn"}.'
    try:
        target = json.loads(environment[RECORDS])
    except ValueError:
        raise InputError("this is not JSON", where=RECORDS, remedy=remedy) from None
    if not isinstance(target, dict):
        raise InputError("this is not a JSON object", where=RECORDS, remedy=remedy)
    records = {"target": "records", **inputs.given(target, ("prefix",))}
    settings = {name: value for name, value in target.items() if name != "prefix"}
    return {**places, "targets": {"records": settings}, "records": records}


def _load(data: Mapping[str, object], environment: Mapping[str, str]) -> Desired:
    whole = {"apiVersion": "keyturn/v1", "name": "pulumi", **{name: _plain(value) for name, value in data.items()}}
    return manifest.load_data(whole, "inputs", environment)


def _plain(value: object) -> object:
    """Return whole numbers as such, since the engine knows no others than floating ones; what is None is left out."""
    if isinstance(value, Mapping):
        return {name: _plain(item) for name, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _told(error: ManifestError, key: str, unsure: set[str]) -> list[str]:
    """Return the mistakes by the names of the inputs, without those that follow from an unknown one."""
    prefix = show_path(("keys", key))
    found = []
    for mistake in error.mistakes:
        path = "key" if mistake.path == prefix else mistake.path.removeprefix(f"{prefix}.")
        field = path.partition(".")[0].partition("[")[0]
        follows = field in unsure or ({"targets", "records"} & unsure and field in {"deliver", "targets", "records"})
        if not follows:
            found.append(f"{path}: {mistake.text}")
    return found


def _is_flag(value: object) -> bool:
    return value is None or isinstance(value, bool)
