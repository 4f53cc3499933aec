"""`keyturn schema`: the JSON Schemas of the documents that keyturn reads and writes."""

from __future__ import annotations

import click

from keyturn.cli import options

KINDS = (
    "manifest",
    "policy",
    "plan",
    "explanation",
    "record",
    "report",
    "status",
    "history",
    "histories",
    "smoke",
    "error",
    "targets",
)


@click.command("schema", help=f"Print the JSON Schema of a kind of document: {', '.join(KINDS)}.")
@click.argument("kind", type=click.Choice(KINDS), metavar="KIND")
@options.talking
def command(*, kind: str) -> int:
    """Print it."""
    options.screen().document(schema_text(kind))
    return 0


def schema_text(kind: str) -> str:
    """Return the schema of one of `KINDS`, as in schemas/."""
    import json

    if kind == "manifest":
        from keyturn.manifest import manifest_schema

        return json.dumps(manifest_schema(), indent=2) + "\n"
    if kind == "policy":
        from keyturn.manifest import policy_schema

        return json.dumps(policy_schema(), indent=2) + "\n"
    from keyturn.report.documents import schema

    return json.dumps(schema(kind), indent=2) + "\n"
