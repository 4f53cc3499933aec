"""Reads the targets of a manifest: their settings, their places, and where their credentials may go."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path as FilePath

from pydantic import BaseModel

from keyturn.core.errors import InputError
from keyturn.core.model import TargetConfig
from keyturn.core.origins import origin_of, to_list
from keyturn.manifest.digests import former_home, home, place_digest
from keyturn.manifest.distrust import settings_of, variables_in
from keyturn.manifest.explain import validate
from keyturn.manifest.mistakes import Path, suggest
from keyturn.manifest.reading import LOCAL, Reading
from keyturn.manifest.tree import Fields, Node, Scalar
from keyturn.targets.base import NoConsent, Target
from keyturn.targets.origins import CORRECT
from keyturn.targets.permitted_places import ALLOWED_PLACES, NoPlace
from keyturn.targets.places import delivery_mistakes_of, file_mistakes_of, place_of, store_of

_LONGEST = 400
"""Characters of a line to type, so that a message has room for it."""
_TYPED = re.compile(r"\$\{KEYTURN_[A-Z0-9_]+(?::-https?://[A-Za-z0-9.:-]+)?\}", re.ASCII)
"""A variable of a manifest that may stand in a command for a shell: its default cannot be more than an address."""


def read_targets(reading: Reading, environment: Mapping[str, str]) -> None:
    """Add each target of a known type to `reading`, and note its mistakes."""
    for name, target in reading.model.targets.items():
        path: Path = ("targets", name)
        node = reading.node(path)
        if not isinstance(node, Fields):
            continue
        if name == LOCAL:
            reading.mistake(path, "`local` means the directory .keyturn; rename this target")
        kind = _kind(reading, path, target.type)
        if kind is None:
            continue
        settings = settings_of(node)
        entries = {setting: entry for setting, entry in node.entries.items() if setting != "type"}
        written = Fields(entries, node.place)
        model, _ = validate(kind.settings_model, written, path, reading.mistakes, place=reading.place(path))
        for mistake in _refused(kind, model, reading.base, environment) if model is not None else ():
            _note_refused(reading, path, mistake, environment)
        reading.targets[name] = _config(name, target.type, settings, model, node, reading.base)
        reading.capabilities[name] = kind.capabilities
        if model is not None:
            reading.settings[name] = model


def check_deliveries(reading: Reading, environment: Mapping[str, str]) -> None:
    """Note each delivery that cannot be, or that the environment does not permit, with one line to type for all."""
    missing: dict[str, tuple[Path, NoPlace]] = {}
    for key, entry in reading.model.keys.items():
        for where, delivery in reading.deliveries(key, entry):
            settings = reading.settings.get(delivery.target)
            found = delivery_mistakes_of(settings, delivery.path, delivery.field, environment) if settings else ()
            for mistake in found:
                path, mistake.where = (*where, mistake.where), ""
                node = reading.node((*where, "path"))
                shown = node.shown if isinstance(node, Scalar) else delivery.path
                text = str(mistake).replace(delivery.path, shown)
                if isinstance(mistake, NoPlace) and shown == delivery.path:
                    missing.setdefault(mistake.entry, (path, mistake))
                else:
                    reading.mistakes.add(reading.place(path), path, text, in_environment=isinstance(mistake, NoConsent))
    command = to_list(ALLOWED_PLACES, ",".join(missing), environment, ",")
    for number, (path, mistake) in enumerate(missing.values()):
        mistake.remedy = f"If {'all of them are' if number else 'it is'} right, type: {command}"
        if len(command) > _LONGEST:
            mistake.remedy = f"If it is right, add {mistake.entry} to {ALLOWED_PLACES}."
        elif number < len(missing) - 1:
            mistake.remedy = ""
        reading.mistakes.add(reading.place(path), path, str(mistake), in_environment=True)


def _config(
    name: str, kind: str, settings: Mapping[str, object], model: BaseModel | None, node: Fields, base: FilePath
) -> TargetConfig:
    former = former_home(kind, settings)
    if model is None:  # its mistakes are noted
        return TargetConfig(name, kind, settings, home=former, former_home=former)
    place = place_of(model, base)
    return TargetConfig(
        name,
        kind,
        settings,
        home=home(kind, store_of(model, base)),
        former_home=former,
        place=tuple((setting, _shown(node, setting, value)) for setting, value in place),
        digest=place_digest(kind, place),
    )


def _shown(node: Node, setting: str, value: str) -> str:
    """Return the value of a setting for people: as it is written if it comes from a variable."""
    for part in setting.split("."):
        if not (isinstance(node, Fields) and part in node.entries):
            return value
        node = node.entries[part].value
    return node.shown if isinstance(node, Scalar) and node.shown != node.value else value


def _refused(
    kind: type[Target], model: BaseModel, base: FilePath, environment: Mapping[str, str]
) -> Iterator[InputError]:
    """Yield each setting that names what a manifest may not name."""
    yield from kind.origin_mistakes(model, environment)
    yield from file_mistakes_of(model, base, environment)


def _note_refused(reading: Reading, target: Path, mistake: InputError, environment: Mapping[str, str]) -> None:
    """Note that a manifest may not name a place. No value of a variable is shown."""
    path, mistake.where = (*target, *mistake.where.split(".")), ""
    text, setting = str(mistake), reading.node(path)
    if isinstance(mistake, NoConsent) and mistake.own and isinstance(setting, Scalar) and setting.unset:
        text = text.replace(CORRECT, f'type: export {setting.unset}="${mistake.own}"')
    for value, shown in _from_variables(reading.node(target)):
        with suppress(InputError):
            origin = origin_of(value)
            if _TYPED.fullmatch(shown):  # a shell expands it as the manifest does
                command = re.compile(rf"(?<=[A-Z]=){re.escape(origin)}(?![\w:])")
                text = f'"{shown}"'.join(command.split(text))
            text = text.replace(f"={origin}", "=…").replace(origin, f"the origin of {shown}")
        for name in variables_in(shown):
            held = environment.get(name, "")
            for part in filter(None, () if "://" in held else held.split("/")):
                text = f"${{{name}}}".join(re.split(rf"(?<![\w-]){re.escape(part)}(?![\w-])", text))
    reading.mistakes.add(reading.place(path), path, text, in_environment=isinstance(mistake, NoConsent))


def _from_variables(node: Node | None) -> Iterator[tuple[str, str]]:
    """Yield the value of each setting with variables, and how it is shown."""
    if isinstance(node, Fields):
        for entry in node.entries.values():
            yield from _from_variables(entry.value)
    elif isinstance(node, Scalar) and isinstance(node.value, str) and node.shown != node.value:
        yield node.value, node.shown


def _kind(reading: Reading, path: Path, kind: str) -> type[Target] | None:
    try:
        return reading.kinds[kind]
    except KeyError:
        known = sorted(reading.kinds)
        reading.mistake((*path, "type"), f"there is no such type of target; {suggest(kind, known)}")
    except InputError as error:
        reading.mistake((*path, "type"), str(error))
    return None
