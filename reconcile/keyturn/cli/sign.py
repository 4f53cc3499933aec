"""`keyturn sign`: signs records and claims whose signature is missing or does not hold, after showing what they say."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import click

from keyturn.cli import options

if TYPE_CHECKING:
    from keyturn.cli.session import Opened
    from keyturn.core.record import Record
    from keyturn.live.live_world import LiveWorld
    from keyturn.live.signatures import Stored
    from keyturn.report.lines import Line


@click.command(
    "sign",
    help="Sign the records and claims of keys whose signature is missing, old or not valid, after showing what they "
    "say and asking. The key for signatures is KEYTURN_RECORD_KEY.",
)
@options.some_keys
@options.manifests
@click.option("--yes", is_flag=True, help="Sign without confirmation.")
@options.talking
def command(*, keys: tuple[str, ...], file: tuple[str, ...], yes: bool) -> int:
    """Show, ask, sign."""
    from keyturn.cli.session import confirmed, opened
    from keyturn.core.errors import InputError
    from keyturn.live.signatures import VARIABLE
    from keyturn.report.lines import count

    screen = options.screen()
    with opened(screen, file, (), keys) as manifests:
        if not all(one.world.documents.signatures for one in manifests):
            raise InputError("there is no key for signatures", where=VARIABLE, remedy="Make one: openssl rand -hex 32.")
        found = [(one.world, *each) for one in manifests for each in _unsigned(one, keys)]
        screen.result(_line(stored, reason, said) for _, stored, reason, said in found)
        if not found:
            screen.say("Every signature holds.")
            return 0
        documents = count(len(found), "document")
        if not yes and not confirmed(
            screen, f"Sign {documents} as {'it is' if len(found) == 1 else 'they are'}? [y/N]"
        ):
            screen.error("Nothing was signed. Review what the documents say, and run again with `--yes`.")
            return 1
        for world, stored, _, _ in found:
            world.documents.sign(stored)
    screen.error(f"Signed {documents}.")
    return 0


def _unsigned(one: Opened, keys: Sequence[str]) -> Iterator[tuple[Stored, str, str]]:
    """Yield each document of this owner that is to be signed, with the reason and with what it says."""
    from keyturn.core.record import parse_claim, parse_record

    world = one.world
    for key in sorted(keys or {*(entry.id for entry in one.desired.keys), *world.list_records()}):
        stored = world.documents.stored("keys", key)
        record = parse_record(stored.text, where=stored.path) if stored else None
        if stored is None or record is None or (record.owner != one.desired.owner and key not in keys):
            continue
        if reason := _reason(world, stored):
            yield stored, reason, _said(record)
        for uuid in sorted(record.uuids):
            document = world.documents.stored("slots", uuid)
            if document and (reason := _reason(world, document)):
                claim = parse_claim(document.text, where=document.path)
                yield document, reason, f"the API key {claim.uuid} belongs to the key {claim.key} of {claim.owner}"


def _reason(world: LiveWorld, stored: Stored) -> str:
    """Say why a document is to be signed; empty if the key that signs has signed it."""
    doubt = world.documents.signatures.doubt(stored)
    return doubt or ("" if world.documents.signatures.current(stored) else "it is signed with the second key")


def _said(record: Record) -> str:
    """Say what a record would have keyturn do."""
    from keyturn.report.lines import moment

    slots = ", ".join(f"{name} = {slot.name!r} ({slot.uuid})" for name, slot in sorted(record.slots.items()))
    parts = [f"generation {record.generation}", f"live {record.live or 'none'}", slots or "no API key"]
    if record.deliveries:
        parts.append(f"delivered to {', '.join(str(item.delivery) for item in record.deliveries)}")
    if record.retire:
        parts.append(f"retires slot {record.retire.slot} at {moment(record.retire.at)}")
    if record.intent:
        parts.append(f"unfinished: {record.intent.op} of slot {record.intent.slot or '-'}, nonce {record.intent.nonce}")
    if record.requested:
        parts.append("a rotation is requested")
    return "; ".join(parts)


def _line(stored: Stored, reason: str, said: str) -> Line:
    from keyturn.report.lines import Span, Tone, line

    return line(Span(stored.path, Tone.NAME), f" version {stored.version}: {reason}. It says: {said}")
