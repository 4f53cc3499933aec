"""`keyturn targets`: the kinds of target, what each can do and its settings."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from keyturn.cli import options

if TYPE_CHECKING:
    from collections.abc import Iterator

    from keyturn.report.lines import Line


@click.command("targets", help="List the kinds of target, what each can do, and its settings.")
@options.talking
def command() -> int:
    """List what is installed."""
    options.screen().result(_lines())
    return 0


def _lines() -> Iterator[Line]:
    from importlib.metadata import entry_points

    from pydantic import BaseModel

    from keyturn.report.lines import Span, Tone, columns, line

    for point in sorted(entry_points(group="keyturn.targets"), key=lambda found: found.name):
        name = Span(point.name, Tone.NAME)
        try:
            kind = point.load()
        except ImportError as error:
            yield line(name, f": its library {error.name or ''} is not installed")
            continue
        able = kind.capabilities
        abilities = {
            "compares and sets": able.compare_and_set,
            "keeps versions": able.versions,
            "holds records": able.documents,
        }
        yield line(name, ": ", ", ".join(word for word, can in abilities.items() if can) or "holds secrets only")
        model: type[BaseModel] = kind.settings_model
        rows = [
            (
                Span(field.alias or title),
                Span("required" if field.is_required() else "optional"),
                Span(field.description or ""),
            )
            for title, field in model.model_fields.items()
        ]
        yield from columns(rows, indent=2) if rows else []
