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
    from keyturn.errors import InputError
    from keyturn.report.lines import Span, Tone, columns, line
    from keyturn.targets.registry import find, kinds

    for name in kinds():
        try:
            kind = find(name)
        except InputError as error:
            yield line(Span(name, Tone.NAME), f": {error}")
            continue
        able = kind.capabilities
        abilities = {
            "compares and sets": able.compare_and_set,
            "keeps versions": able.versions,
            "holds records": able.documents,
        }
        words = ", ".join(word for word, can in abilities.items() if can)
        yield line(Span(name, Tone.NAME), f": {words or 'holds secrets only'}")
        rows = [
            (
                Span(field.alias or title),
                Span("required" if field.is_required() else "optional"),
                Span(field.description or ""),
            )
            for title, field in kind.settings_model.model_fields.items()
        ]
        yield from columns(rows, indent=2) if rows else []
