"""PURE: one variable in the text of an app's spec (App Platform). Every other character of the spec is kept.

The spec is never serialized again: what keyturn does not know of it stays as it came, numbers and blanks included.
Facts of the format: "App Specification Reference" and `AppSpec` in DigitalOcean's public API description.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field

from keyturn.targets.json_text import Element, Member, appended, changed, elements, members, placed, without

COMPONENTS = ("services", "workers", "jobs", "static_sites", "functions")
"""The lists of components with variables."""
STATIC = "static_sites"
SECRET, SCOPE = "SECRET", "RUN_TIME"
"""Type and scope of a variable that keyturn adds: the build has no use for it."""


class NotThere(ValueError):
    """The spec has no such component."""


@dataclass(frozen=True, slots=True)
class Variable:
    """A variable as the spec has it. `value` of an encrypted one is an EV string; None if there is none."""

    value: object = field(repr=False)
    type: object
    scope: object


def spec_of(answer: str) -> str:
    """Return the text of the spec in an answer about one app, `{"app": {"spec": …}}`.

    Raises:
        ValueError: it is not such an answer; its text is not repeated.
    """
    return _member(_member(answer, "app"), "spec")


def app_id(answer: str) -> str:
    """Return the id in an answer about one app. Raises ValueError like `spec_of`."""
    return _text(_member(answer, "app"), "id")


def app_name(spec: str) -> str:
    """Return the name of an app. Raises ValueError."""
    return _text(spec, "name")


def deployments_of(answer: str) -> Iterator[tuple[str, str, str]]:
    """Yield id, phase and text of the spec of each deployment in an answer, `{"deployments": […]}`.

    Raises ValueError like `spec_of`.
    """
    listed = _member(answer, "deployments")
    for one in elements(listed):
        text = listed[one.start : one.end]
        yield _text(text, "id"), _text(text, "phase"), _member(text, "spec")


def variable(spec: str, component: str, key: str) -> Variable | None:
    """Return a variable of a component, or of the whole app if `component` is empty; None if there is none.

    Raises:
        NotThere: there is no such component.
        ValueError: the spec has another form, or names the component or the variable twice.
    """
    start, end = _place(spec, component)
    found = _found(spec[start:end], key)
    if found is None:
        return None
    assert isinstance(found.value, dict)  # noqa: S101 - as _found chose it
    return Variable(
        *(found.value.get(name, usual) for name, usual in (("value", None), ("type", "GENERAL"), ("scope", "")))
    )


def with_variable(spec: str, component: str, key: str, value: str | None) -> str:
    """Return the spec with the value of a variable set, or without the variable if `value` is None.

    A variable that is missing is added, as a secret of the run time. The result holds the value, so give it only to
    what sends it. Raises like `variable`.
    """
    start, end = _place(spec, component)
    return spec[:start] + _changed(spec[start:end], key, value) + spec[end:]


def alike(one: str, other: str, component: str, key: str) -> bool:
    """Tell whether two specs are the same but for the value of one variable. Raises like `variable`."""
    first, second = (json.loads(with_variable(spec, component, key, "")) for spec in (one, other))
    return bool(first == second)


def overriding(spec: str, key: str) -> str:
    """Return a component that runs with a variable of its own instead of the app's; empty if there is none.

    Raises ValueError.
    """
    found = ((name, spec[start:end]) for kind, name, start, end in _components(spec) if kind != STATIC)
    return next((name for name, part in found if _found(part, key) is not None), "")


def is_static(spec: str, component: str) -> bool:
    """Tell whether a component is a static site. Raises ValueError."""
    return any(kind == STATIC and name == component for kind, name, _, _ in _components(spec))


def static_sites(spec: str) -> bool:
    """Tell whether the app has a static site. Raises ValueError."""
    return any(kind == STATIC for kind, _, _, _ in _components(spec))


def databases(spec: str) -> bool:
    """Tell whether a managed database is attached to the app. Raises ValueError."""
    found = next((member.value for member in members(spec) if member.name == "databases"), None)
    return isinstance(found, list) and any(isinstance(one, dict) and one.get("cluster_name") for one in found)


def _changed(part: str, key: str, value: str | None) -> str:
    found = _found(part, key)
    envs = _envs(part)
    if envs is None:
        return part if value is None else placed(part, "envs", f"[{_new(key, value)}]")
    text = part[envs.value_start : envs.end]
    if found is None:
        text = text if value is None else appended(text, _new(key, value))
    elif value is None:
        text = without(text, elements(text).index(found))
    else:
        text = text[: found.start] + changed(text[found.start : found.end], "value", value) + text[found.end :]
    return part[: envs.value_start] + text + part[envs.end :]


def _new(key: str, value: str) -> str:
    return json.dumps({"key": key, "scope": SCOPE, "type": SECRET, "value": value})


def _found(part: str, key: str) -> Element | None:
    """Return the element of `envs` with a key; its offsets are those in the text of the list."""
    envs = _envs(part)
    text = part[envs.value_start : envs.end] if envs else "[]"
    listed = elements(text)
    found = [one for one in listed if isinstance(one.value, dict) and one.value.get("key") == key]
    if len(found) > 1:
        raise ValueError(f"the variable {key} is there twice")
    if found:
        members(text[found[0].start : found[0].end])  # none of its members is there twice
    return found[0] if found else None


def _envs(part: str) -> Member | None:
    """Return the member `envs` of the app or a component; None if it is absent or null."""
    found = next((member for member in members(part) if member.name == "envs"), None)
    if found is None or found.value is None:
        return None
    if not isinstance(found.value, list):
        raise ValueError("its variables are not a list")
    return found


def _place(spec: str, component: str) -> tuple[int, int]:
    """Return the offsets of a component in the spec, or those of the spec itself."""
    if not component:
        members(spec)
        return 0, len(spec)
    found = [(start, end) for _, name, start, end in _components(spec) if name == component]
    if not found:
        names = ", ".join(name for _, name, _, _ in _components(spec))
        raise NotThere(f"it has {names}" if names else "it has none")
    if len(found) > 1:
        raise ValueError(f"the component {component} is there twice")
    return found[0]


def _components(spec: str) -> Iterator[tuple[str, str, int, int]]:
    """Yield kind, name and offsets of each component."""
    for member in members(spec):
        if member.name in COMPONENTS and isinstance(member.value, list):
            for one in elements(spec[member.value_start : member.end]):
                if isinstance(one.value, dict) and isinstance(one.value.get("name"), str):
                    yield member.name, one.value["name"], member.value_start + one.start, member.value_start + one.end


def _text(text: str, name: str) -> str:
    found: object = json.loads(_member(text, name))
    if not isinstance(found, str):
        raise ValueError(f"its {name} is not text")
    return found


def _member(text: str, name: str) -> str:
    for member in members(text):
        if member.name == name:
            return text[member.value_start : member.end]
    raise ValueError(f"there is no {name} in it")
