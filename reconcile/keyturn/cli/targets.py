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


@click.command("targets", help="List the kinds of target with their capabilities and settings.")
@options.talking
def command() -> int:
    """List the installed kinds."""
    options.screen().result(_lines())
    return 0


def _lines() -> Iterator[Line]:
    from keyturn.core.errors import InputError
    from keyturn.report.lines import Span, Tone, columns, line
    from keyturn.targets.registry import find, kinds, package

    for name in kinds():
        try:
            kind, source = find(name), package(name)
        except InputError as error:
            yield line(Span(name, Tone.NAME), f": {error}")
            continue
        able = kind.capabilities
        abilities = {
            "compare-and-set": able.compare_and_set,
            "versions": able.versions,
            "records": able.documents,
        }
        words = ", ".join(word for word, can in abilities.items() if can)
        stranger = "" if source == "keyturn" else f" (from {source})"
        yield line(Span(name, Tone.NAME), f"{stranger}: {words or 'deliveries only'}")
        rows = [
            (Span(title), Span("required" if field.is_required() else "optional"), Span(field.description or ""))
            for title, field in _settings(kind.settings_model)
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
