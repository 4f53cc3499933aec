"""A key without a record: adopt what exists by consent, or create; never beside a namesake."""

from __future__ import annotations

from dataclasses import replace

from keyturn.core.machine import pool
from keyturn.core.machine.common import claim, foreign, login_or, look, new_intent, note, unreadable
from keyturn.core.model import UNJUDGED, Adopt, AdoptSecret, ApiKey, Delivery, SlotName, Verdict
from keyturn.core.reasons import Reason
from keyturn.core.record import DeliveryState, HeldAt, Intent, Op, Record, Requested, Slot
from keyturn.core.results import Change, End, Planned
from keyturn.core.state import State
from keyturn.core.steps import Check, Decision, Purpose, Write, WriteRecord

SEEN = 20
"""How many API keys of the account a record notes if nothing else shows the team."""


def begin(state: State) -> Decision | None:
    """Make the first record of a key, or say why not."""
    if state.record is not None and not state.record.deleted_at:
        return None
    consent = state.options.adopt or state.desired.adopt
    found = _candidates(state, consent)
    if isinstance(found, End):
        return found
    if not found and state.options.adopt:
        why = f"no API key is called {state.desired.name!r}, so there is nothing to adopt"
        return End(Reason.ADOPT_NOT_FOUND, why)
    if not found:
        return _new(state)
    if consent is None:
        uuids = ", ".join(key.uuid for key in found.values())
        why = f"an API key of that name exists already ({uuids}); `adopt:` in its entry takes it over"
        return End(Reason.NAMESAKE, why)
    for key in found.values():
        if needs := claim(state, key.uuid):
            return needs
    if reads := look(state, state.desired.deliveries):
        return reads
    if why := unreadable(state, state.desired.deliveries):
        return End(login_or(state, state.desired.deliveries, Reason.UNREADABLE), why)
    if consent.secret is AdoptSecret.EXISTING:
        return _existing(state, consent, found)
    return _regenerate(state, found)


def _candidates(state: State, consent: Adopt | None) -> dict[SlotName, ApiKey] | End:
    """Return which listed API key becomes which slot."""
    named: dict[SlotName, ApiKey] = {}
    if consent and consent.b and (consent.b == consent.a or not state.alternating):
        why = "both slots were given the same API key" if consent.b == consent.a else "an in-place key has one slot, a"
        return End(Reason.WRONG_SLOTS, why)
    for slot, uuid in ((SlotName.A, consent.a), (SlotName.B, consent.b)) if consent else ():
        if uuid:
            listed = state.observed.key(uuid)
            if listed is None:
                why = f"the API key {uuid}, which `adopt:` names, is in no complete list"
                return End(Reason.ADOPT_NOT_FOUND, why)
            named[slot] = listed
    if named:
        return named
    plain = state.observed.named(state.desired.name)
    wanted = [(SlotName.A, state.observed.named(state.name_of(SlotName.A)))]
    if state.alternating:
        wanted.append((SlotName.B, state.observed.named(state.name_of(SlotName.B))))
        wanted.append((SlotName.A, plain))
    for slot, keys in wanted:
        if len(keys) > 1:
            uuids = ", ".join(key.uuid for key in keys)
            why = f"{len(keys)} API keys are called {keys[0].name!r}: {uuids}; name one by `adopt: {{{slot}: UUID}}`"
            return End(Reason.SEVERAL_NAMESAKES, why)
        if keys:
            named.setdefault(slot, keys[0])
    return named


def _fresh(state: State, found: dict[SlotName, ApiKey], deliveries: tuple[DeliveryState, ...]) -> Record:
    return Record(
        key=state.desired.id,
        owner=state.desired.owner,
        digest_key=state.run.digest_key,
        account=state.observed.account,
        seen=() if state.observed.account else tuple(sorted(key.uuid for key in state.observed.keys)[:SEEN]),
        strategy=state.desired.rotation.strategy,
        slots={slot: Slot(key.uuid, key.name, key.created_at) for slot, key in found.items()},
        deliveries=deliveries,
        trigger=state.desired.trigger,
        history=state.record.history if state.record else (),
    )


def _new(state: State) -> Decision:
    """No API key yet: write the intent to create one. A field that is in use already is not ours."""
    if reads := look(state, state.desired.deliveries):
        return reads
    if why := unreadable(state, state.desired.deliveries):
        return End(login_or(state, state.desired.deliveries, Reason.UNREADABLE), why)
    if stop := _in_use(state):
        return stop
    intent = pool.from_pool(state, new_intent(state, Op.CREATE, SlotName.A))
    if not isinstance(intent, Intent):
        return intent
    ours = tuple(DeliveryState(item) for item in state.desired.deliveries)
    record = replace(_fresh(state, {}, ours), intent=intent)
    return WriteRecord(note(record, state, "starts to create"), Write.OPEN)


def _in_use(state: State) -> Decision | None:
    """Stop where a field holds a value that keyturn did not write; tell whether the API accepts it."""
    others = foreign(state)
    digests = [digest for item in others if (digest := state.observed.readings[item].digest)]
    for digest in digests:
        if digest not in state.observed.verdicts:
            return Check(digest, Purpose.ADOPT)
    return field_in_use(state, others[0]) if others else None


def field_in_use(state: State, place: Delivery) -> End:
    """Say that a place holds somebody else's value, and how to go on."""
    result = state.observed.verdicts.get(state.observed.readings[place].digest or "")
    accepted = result is not None and result.verdict not in {Verdict.REFUSED, *UNJUDGED}
    what = "a secret that the API accepts" if accepted else "a value that keyturn did not write"
    keep = (
        f"`keyturn adopt {state.desired.id} --secret existing --uuid UUID` keeps it, " if state.record is None else ""
    )
    why = f"{place} already holds {what}; {keep}--take-over replaces it"
    return End(Reason.FIELD_IN_USE, why)


def _existing(state: State, consent: Adopt, found: dict[SlotName, ApiKey]) -> Decision:
    """Keep the present secret, once `/v1/models` accepts it."""
    readings = state.observed.readings
    digests = {readings[item].digest for item in state.desired.deliveries} - {None}
    if state.options.secret:
        digests = {state.options.secret.digest(state.run.digest_key)}
    if any(readings[item].account_token for item in state.desired.deliveries):
        why = "a delivery holds a token of the account (dop_v1_…), which is not a model access key"
        return End(Reason.ACCOUNT_TOKEN, why)
    live = consent.live or (next(iter(found)) if len(found) == 1 else None)
    if live is None or live not in found:
        why = "two API keys were found, and the API does not show whose secret is in use: give `adopt: {live: a or b}`"
        return End(Reason.LIVE_UNKNOWN, why)
    if len(digests) != 1:
        how = "no delivery holds a secret" if not digests else "the deliveries hold different secrets"
        why = f"{how}; `--secret stdin` gives the present one, `--secret regenerate` makes a new one"
        return End(Reason.NO_PRESENT_SECRET, why)
    (digest,) = digests
    if digest is None:
        return End(Reason.NO_PRESENT_SECRET, "no delivery holds a secret")
    result = state.observed.verdicts.get(digest)
    if result is None:
        return Check(digest, Purpose.ADOPT)
    if result.verdict in UNJUDGED:
        return End(Reason.of(result.verdict.value), f"the present secret is {result.advice}")
    if result.verdict is Verdict.REFUSED:
        why = f"the present secret is {result.facts}; `--secret regenerate` makes a new one"
        return End(Reason.PRESENT_SECRET_REFUSED, why)
    now = state.clock.now
    states = tuple(
        DeliveryState(item, 1, readings[item].version, digest, now)
        if readings[item].digest == digest
        else DeliveryState(item)
        for item in state.desired.deliveries
    )
    record = _fresh(state, found, states)
    held = tuple(HeldAt(item.delivery, item.version) for item in states if item.digest)
    slots = {**record.slots, live: replace(record.slots[live], digest=digest, minted_at=now, held_in=held)}
    adopted = note(replace(record, slots=slots, live=live, generation=1), state, "adopted with its present secret")
    key = found[live]
    why = f"takes over {key.name!r} with its present secret"
    return WriteRecord(adopted, Write.ADOPT, Planned(Change.ADOPT, "existing", why, slot=live, uuid=key.uuid))


def _regenerate(state: State, found: dict[SlotName, ApiKey]) -> Decision:
    """Ask for a rotation: the present secret dies, which the plan says."""
    first = next(iter(found))
    asked = Requested(state.options.by or "keyturn", "it was adopted with a new secret", state.clock.now)
    states = tuple(DeliveryState(item) for item in state.desired.deliveries)
    record = replace(_fresh(state, found, states), requested=asked)
    why = f"takes over {found[first].name!r}; its present secret dies with the regenerate that follows"
    shown = Planned(Change.ADOPT, "regenerate", why, slot=first, uuid=found[first].uuid)
    return WriteRecord(note(record, state, "adopted, its secret to be regenerated"), Write.ADOPT, shown)
