"""A key without a record: adopt what exists by consent, or create; never beside a namesake."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from keyturn.core.machine.deliveries import agreed, foreign, login_or, unreadable, wanted
from keyturn.core.machine.facts import note, unjudged, verdict
from keyturn.core.machine.guards import seen
from keyturn.core.machine.in_use import field_in_use, in_doubt, in_use, try_found
from keyturn.core.machine.ownership import api_now, claim, contested, new_intent, outside_policy
from keyturn.core.machine.policy import Branch, Chain, when
from keyturn.core.machine.pool import from_pool
from keyturn.core.model import Adopt, AdoptSecret, ApiKey, Cause, Delivery, SlotName, Verdict
from keyturn.core.reasons import Reason
from keyturn.core.record import DeliveryState, HeldAt, Intent, Op, Record, Requested, Slot
from keyturn.core.results import Change, End, Planned
from keyturn.core.state import State
from keyturn.core.steps import Check, Decision, LookAround, Purpose, Write, WriteRecord

SEEN = 20
"""How many API keys of the account a record notes if nothing else shows the team."""


def no_record(state: State) -> bool:
    """Tell whether the key has no record yet, or a tombstone."""
    return state.record is None or state.record.deleted_at is not None


def consent(state: State) -> Adopt | None:
    """Return what may be adopted: as this run says, or else the entry."""
    return state.options.adopt or state.desired.adopt


def candidates(state: State) -> dict[SlotName, ApiKey]:
    """Return which listed API key becomes which slot; empty if there is none, or if they do not fit."""
    found = _candidates(state, consent(state))
    return {} if isinstance(found, End) else found


def misfit(state: State) -> Decision | None:
    """Stop if the API keys to adopt cannot be told, or do not fit the slots."""
    found = _candidates(state, consent(state))
    return found if isinstance(found, End) else None


def nothing_found(state: State) -> Decision | None:
    """Stop if this run is to adopt and nothing has the name."""
    if candidates(state) or not state.options.adopt:
        return None
    why = f"no API key is called {state.desired.name!r}, so there is nothing to adopt"
    return End(Reason.ADOPT_NOT_FOUND, why)


def is_new(state: State) -> bool:
    """Tell whether no API key has the name: one is created."""
    return not candidates(state)


def namesake(state: State) -> Decision | None:
    """Stop at an API key of the name unless there is consent."""
    if consent(state) is not None:
        return None
    uuids = ", ".join(key.uuid for key in candidates(state).values())
    why = f"an API key of that name exists already ({uuids})"
    return End(Reason.NAMESAKE, why)


def permitted(state: State) -> Decision | None:
    """Stop at an API key to adopt whose name the operator's policy does not admit."""
    return next(filter(None, (outside_policy(state, key) for key in candidates(state).values())), None)


def another_claims(state: State) -> Decision | None:
    """Stop at an API key that another key claims, before anything else is read or tried."""
    return next((needs for key in candidates(state).values() if (needs := contested(state, key.uuid))), None)


def claimed(state: State) -> Decision | None:
    """Claim each API key that is to be adopted."""
    for key in candidates(state).values():
        if needs := claim(state, key.uuid):
            return needs
    return None


def unread(state: State) -> Decision | None:
    """Stop if a delivery cannot be read: it may hold the present secret, or another key's."""
    why = unreadable(state, wanted(state))
    return End(login_or(state, wanted(state), Reason.UNREADABLE), why) if why else None


def keeps_secret(state: State) -> bool:
    """Tell whether the present secret is to be kept."""
    asked = consent(state)
    return asked is not None and asked.secret is AdoptSecret.EXISTING


def by_operator(state: State) -> bool:
    """Tell whether an operator answers for this adoption; the entry alone is no proof of whose something is."""
    return state.options.confirmed


def unasked(state: State) -> bool:
    """Tell whether only the entry asks for this adoption."""
    return not by_operator(state)


def other_name(state: State) -> Decision | None:
    """Stop at an API key of another name than the entry asks for, unless an operator asked for it."""
    for slot, key in () if by_operator(state) else candidates(state).items():
        if not fits(state, slot, key):
            return named_otherwise(state, slot, key)
    return None


def fits(state: State, slot: SlotName, key: ApiKey) -> bool:
    """Tell whether an API key has a name that the entry gives to this slot."""
    return key.name in {state.name_of(slot), *([state.desired.name] if slot is SlotName.A else [])}


def named_otherwise(state: State, slot: SlotName, key: ApiKey) -> End:
    """Say that an API key has another name than the entry asks for."""
    why = f"the API key {key.uuid} is called {key.name!r}, and the entry asks for {state.name_of(slot)!r}"
    return End(Reason.NOT_CONFIRMED, f"{why}: it may be another key's")


def regenerate(state: State) -> Decision | None:
    """Ask for a rotation: the present secret dies, which the plan says."""
    found = candidates(state)
    first = next(iter(found))
    asked = Requested(state.options.by or "keyturn", "it was adopted with a new secret", api_now(state))
    states = tuple(agreed(state, item) for item in wanted(state))
    record = replace(_first_record(state, found, states), requested=asked)
    why = f"takes over {found[first].name!r}; its present secret dies with the regenerate that follows"
    shown = Planned(Change.ADOPT, "regenerate", why, slot=first, uuid=found[first].uuid)
    return WriteRecord(
        note(record, state, "adopted, its secret to be regenerated", Cause("adopt"), slot=first), Write.ADOPT, shown
    )


ADOPT: Chain = (
    misfit,
    nothing_found,
    Branch("adopt-nothing", when=is_new),
    namesake,
    permitted,
    other_name,
    another_claims,
    seen(wanted),
    unread,
    Branch("adopt-existing", when=keeps_secret),
    when(by_operator, try_found),
    when(by_operator, in_doubt),
    when(unasked, in_use),
    claimed,
    regenerate,
)


# No API key yet.


def open_create(state: State) -> Decision | None:
    """Make the first record, with the intent to create an API key."""
    intent = from_pool(state, new_intent(state, Op.CREATE, SlotName.A, cause=Cause("entry")))
    if not isinstance(intent, Intent):
        return intent
    ours = tuple(agreed(state, item) for item in wanted(state))
    record = replace(_first_record(state, {}, ours), intent=intent)
    return WriteRecord(note(record, state, "starts to create", Cause("entry")), Write.OPEN)


NOTHING: Chain = (seen(wanted), unread, in_use, open_create)


# With its present secret.


def live_slot(state: State) -> SlotName | None:
    """Return the slot that the present secret belongs to, None if nobody says so."""
    found, asked = candidates(state), consent(state)
    live = (asked.live if asked else None) or (next(iter(found)) if len(found) == 1 else None)
    return live if live in found else None


def present(state: State) -> set[str]:
    """Return the digests of the secrets that may be the present one: given to this run, or in the deliveries.

    A value that does not look like a key is not among them.
    """
    if state.observed.given:
        return {state.observed.given}
    found = (state.observed.readings[item] for item in wanted(state))
    return {reading.digest for reading in found if reading.digest and not reading.unlike}


def account_token(state: State) -> Decision | None:
    """Stop at an account token: it can do more than a model access key."""
    if not any(state.observed.readings[item].account_token for item in wanted(state)):
        return None
    why = "a delivery holds a token of the account (dop_v1_…), which is not a model access key"
    return End(Reason.ACCOUNT_TOKEN, why)


def live_unknown(state: State) -> Decision | None:
    """Stop if there are two API keys and nobody says whose secret is in use."""
    if live_slot(state) is not None:
        return None
    why = "two API keys were found, and the API does not show whose secret is in use"
    return End(Reason.LIVE_UNKNOWN, why)


def no_present_secret(state: State) -> Decision | None:
    """Stop unless there is exactly one present secret."""
    digests = present(state)
    if len(digests) == 1:
        return None
    why = "no delivery holds a secret" if not digests else "the deliveries hold different secrets"
    return End(Reason.NO_PRESENT_SECRET, why)


def holds_other(state: State) -> Decision | None:
    """Stop at a wanted delivery that holds something else than the present secret: adopting that overwrites nothing."""
    digests = present(state)
    others = [item for item in foreign(state) if state.observed.readings[item].digest not in digests]
    return field_in_use(state, others[0]) if others else None


def copies(state: State) -> tuple[Delivery, ...]:
    """Return the wanted deliveries to which the present secret would be copied."""
    digests = present(state)
    return tuple(item for item in wanted(state) if state.observed.readings[item].digest not in digests)


def copied(state: State) -> Decision | None:
    """Stop before a secret that was merely found goes elsewhere, unless an operator asked for it."""
    to = copies(state)
    if by_operator(state) or not to:
        return None
    why = f"the secret that {_sources(state)} holds would be copied to {_all(to)}; nothing shows whose it is"
    return End(Reason.NOT_CONFIRMED, why)


def unproven(state: State) -> Decision | None:
    """Stop without a smoke-check, unless an operator asked for it: nothing proves the secret."""
    (digest,) = present(state)
    if by_operator(state) or verdict(state, digest) is not Verdict.SKIPPED:
        return None
    why = f"smoke-checks are switched off, so nothing proves the secret that {_sources(state)} holds"
    return End(Reason.NOT_CONFIRMED, why)


def another_has_it(state: State) -> Decision | None:
    """Stop at a secret or a delivery that another key's record has: to hold it proves no ownership."""
    (digest,) = present(state)
    if state.options.take_over:
        return None
    if digest not in state.observed.holders:
        return LookAround(digest, wanted(state))
    holder = state.observed.holders[digest]
    return End(Reason.CLAIMED, f"{holder}, so it is not adopted") if holder else None


def _sources(state: State) -> str:
    """Name the deliveries that hold the present secret."""
    digests = present(state)
    return _all(item for item in wanted(state) if state.observed.readings[item].digest in digests)


def _all(deliveries: Iterable[Delivery]) -> str:
    return ", ".join(map(str, deliveries))


def try_present(state: State) -> Decision | None:
    """Try the present secret."""
    (digest,) = present(state)
    return None if digest in state.observed.verdicts else Check(digest, Purpose.ADOPT)


def not_accepted(state: State) -> Decision | None:
    """Stop unless the API accepts the present secret."""
    (digest,) = present(state)
    result = state.observed.verdicts[digest]
    if unjudged(state, digest):
        return End(Reason.of(result.verdict.value), f"the smoke-check of the present secret: {result.facts}")
    if result.verdict is Verdict.REFUSED:
        why = f"the smoke-check of the present secret: {result.facts}"
        return End(Reason.PRESENT_SECRET_REFUSED, why)
    return None


def keep(state: State) -> Decision | None:
    """Make the first record, with the present secret as the live one."""
    found, live, now, readings = candidates(state), live_slot(state), state.clock.now, state.observed.readings
    (digest,) = present(state)
    if live is None:
        return None
    states = tuple(
        DeliveryState(item, 1, readings[item].version, digest, now)
        if readings[item].digest == digest
        else agreed(state, item)
        for item in wanted(state)
    )
    record = _first_record(state, found, states)
    held = tuple(HeldAt(item.delivery, item.version) for item in states if item.digest)
    slots = {**record.slots, live: replace(record.slots[live], digest=digest, minted_at=now, held_in=held)}
    adopted = note(
        replace(record, slots=slots, live=live, generation=1),
        state,
        "adopted with its present secret",
        Cause("adopt"),
        slot=live,
    )
    key = found[live]
    where = _sources(state)
    why = f"takes over {key.name!r} with the secret {f'found at {where}' if where else 'that was given'}"
    why += " if the API accepts it" if digest in state.observed.assumed else ""
    if to := copies(state):
        why += f"; it is copied to {_all(to)}"
    return WriteRecord(adopted, Write.ADOPT, Planned(Change.ADOPT, "existing", why, slot=live, uuid=key.uuid))


EXISTING: Chain = (
    account_token,
    live_unknown,
    holds_other,
    no_present_secret,
    another_has_it,
    copied,
    try_present,
    not_accepted,
    unproven,
    claimed,
    keep,
)


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
                why = f"the API key {uuid}, which is to be adopted, is in no complete list"
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
            why = f"{len(keys)} API keys are called {keys[0].name!r}: {uuids}; one has to be named for slot {slot}"
            return End(Reason.SEVERAL_CANDIDATES, why)
        if keys:
            named.setdefault(slot, keys[0])
    return named


def _first_record(state: State, found: dict[SlotName, ApiKey], deliveries: tuple[DeliveryState, ...]) -> Record:
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
