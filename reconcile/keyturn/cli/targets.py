"""`keyturn targets`: the kinds of target, with capabilities and settings."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from keyturn.cli import options

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic import BaseModel
    from pydantic.fields import FieldInfo

    from keyturn.report.lines import Line
    from keyturn.report.set_up import TargetKind


@click.command("targets", help="List the kinds of target with their capabilities and settings.")
@options.formatted("text", "json")
@options.talking
def command() -> int:
    """List the installed kinds."""
    from keyturn.report.documents import dump
    from keyturn.report.set_up import TargetsDocument
    from keyturn.targets.registry import kinds

    screen = options.screen()
    found = tuple(_kind(name) for name in kinds())
    if screen.format == "json":
        screen.document(dump(TargetsDocument(found)))
    else:
        screen.result(row for one in found if one.problem or not screen.quiet for row in _lines(one))
    return 0


def _kind(name: str) -> TargetKind:
    """Describe a kind; one that cannot be used is listed with the reason."""
    from keyturn.core.errors import InputError
    from keyturn.report.set_up import TargetKind, TargetSetting
    from keyturn.targets.registry import find, package

    try:
        kind, source = find(name), package(name)
    except InputError as error:
        return TargetKind(name, "", problem=str(error))
    able = kind.capabilities
    settings = tuple(
        TargetSetting(title, field.is_required(), field.description or "")
        for title, field in _settings(kind.settings_model)
    )
    return TargetKind(
        name,
        source,
        able.compare_and_set,
        able.versions,
        able.documents,
        able.deliveries,
        able.reads,
        able.marks,
        able.effect,
        settings,
    )


def _lines(one: TargetKind) -> Iterator[Line]:
    from keyturn.report.lines import Span, Tone, columns, line

    if one.problem:
        yield line(Span(one.type, Tone.NAME), f": {one.problem}")
        return
    abilities = {"compare-and-set": one.compare_and_set, "versions": one.versions, "records": one.records}
    words = ", ".join(word for word, can in abilities.items() if can) or "deliveries only"
    words += "" if one.reads else ", write-only"
    words += ", takes effect with a deployment" if one.effect else ""
    stranger = "" if one.package == "keyturn" else f" (from {one.package})"
    yield line(Span(one.type, Tone.NAME), f"{stranger}: {words}")
    rows = [
        (Span(each.name), Span("required" if each.required else "optional"), Span(each.description))
        for each in one.settings
    ]
    yield from columns(rows, indent=2) if rows else []


def _settings(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, FieldInfo]]:
    """Yield each setting with its name. Settings of a nested model are named like `auth.method`."""
    for title, field in model.model_fields.items():
        name = f"{prefix}{field.alias or title}"
        nested = getattr(field.annotation, "model_fields", None)
        if nested is None:
            yield name, field
        else:
            yield from _settings(field.annotation, f"{name}.")  # type: ignore[arg-type]  # it has fields: a model
