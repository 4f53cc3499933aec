"""`keyturn schema`: the JSON Schemas of the documents that keyturn reads and writes."""

from __future__ import annotations

from typing import Final

import click

from keyturn.cli import options

ABOUT: Final = {
    "manifest": "a manifest: keys, targets, rotation",
    "policy": "the operator's policy: what manifests may do",
    "plan": "keyturn plan --format json, and a saved plan",
    "explanation": "keyturn plan --explain KEY --format json",
    "record": "the record of a key in the record store",
    "report": "keyturn apply, rotate and adopt --format json",
    "status": "keyturn status --format json",
    "schedule": "keyturn schedule --format json",
    "history": "keyturn history KEY --format json",
    "histories": "keyturn history --all --format json",
    "smoke": "keyturn smoke --format json",
    "notice": "what receivers of `notify` get",
    "doctor": "keyturn doctor --format json",
    "error": "any command that fails, with --format json",
    "targets": "keyturn targets --format json",
    "validation": "keyturn validate --format json",
}
"""Each kind of document, and where it comes from."""
KINDS: Final = tuple(ABOUT)


@click.command("schema", help="Print the JSON Schema of a kind of document. Without a kind, list them.")
@click.argument("kind", required=False)
@options.talking
def command(*, kind: str | None) -> int:
    """Print it, or the list."""
    screen = options.screen()
    if kind is None:
        from keyturn.report.lines import Span, Tone, columns

        screen.result(columns([(Span(name, Tone.NAME), Span(what)) for name, what in ABOUT.items()]))
        screen.say("keyturn schema KIND prints one.")
        return 0
    if kind not in ABOUT:
        from difflib import get_close_matches

        near = get_close_matches(kind, KINDS, n=1)
        known = f"did you mean {near[0]}?" if near else f"there are {', '.join(KINDS)}"
        raise click.UsageError(f"there is no schema {kind!r}: {known}")
    screen.document(schema_text(kind))
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
