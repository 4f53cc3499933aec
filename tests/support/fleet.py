"""Forty keys in all conditions, as an operator of a fleet meets them: for the faces of `status`."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from keyturn.core.model import Api, ApiKey, Delivery, SlotName, SmokeResult, Strategy, Verdict
from keyturn.core.reasons import Condition, Reason, mixed
from keyturn.core.results import End, KeyStatus, PoolState, RunStatus, by_urgency
from keyturn.report.documents import StatusDocument
from keyturn.report.overview import status_document
from tests.support.outcomes import NOW

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
OWNERS = ("platform", "research")


def key(name: str, *ends: End, places: int = 1, held: int | None = None, age: int = -1, every: int = 30) -> KeyStatus:
    """Return a key whose conditions are `ends`; `age` and `every` are in days, `every` 0: only on demand."""
    age = sum(map(ord, name)) % 24 + 2 if age < 0 else age
    found = by_urgency(ends or (End(Reason.AT_REST, "nothing to do"),))
    first, good = found[0], places if held is None else held
    alternating = len(name) % 2 == 0
    live = SlotName.A if not alternating or age % 2 else SlotName.B
    uuid = f"{sum(map(ord, name)):08x}-1111-4222-8333-{len(name):012x}"
    deliveries = [Delivery("vault", f"apps/{name}", "MODEL_ACCESS_KEY"), Delivery("aws", f"prod/{name}")][:places]
    return KeyStatus(
        key=name,
        name=name,
        condition=first.condition,
        why=first.why,
        strategy=Strategy.ALTERNATING if alternating else Strategy.IN_PLACE,
        code=first.code,
        since=first.since,
        until=first.until,
        conditions=found,
        make=next((end.make for end in found if end.make), ()),
        live=live,
        uuids=((live, uuid),),
        generation=age % 7 + 1,
        minted_at=NOW - age * DAY - 3 * HOUR,
        next_rotation_at=NOW + (every - age) * DAY - 3 * HOUR if every else None,
        retire_at=next((end.until for end in found if end.code is Reason.OVERLAP), None),
        deliveries=tuple((place, number >= places - good) for number, place in enumerate(deliveries)),
        recorded_at=NOW - 2 * HOUR,
        exit_code=mixed(end.exit_code for end in found),
        owner=OWNERS[name.startswith("lab")],
    )


def wrong() -> list[KeyStatus]:
    """Return keys that are not at rest: each condition, some with several reasons, three with one cause."""
    place = "vault:apps/{}#MODEL_ACCESS_KEY"
    sealed = End(Reason.NO_ANSWER, "target vault: the server is sealed (HTTP 503)", since=NOW - 2 * HOUR)
    refused = SmokeResult(Verdict.REFUSED, "refused 3 times; last: model list: HTTP 401", Api.CHAT, 0.041)
    checkout = key(
        "checkout-bot",
        End(Reason.REFUSED, f"the API refuses the secret that {place.format('checkout-bot')} holds", since=NOW - HOUR),
        End(Reason.DRIFTED, f"{place.format('checkout-bot')} holds something other than the live secret"),
        places=2,
        held=1,
    )
    return [
        replace(checkout, read=True, results=((checkout.deliveries[0][0], refused),), verdict=refused),
        key("fraud-scoring", End(Reason.REFUSED, "the API refuses the live secret", since=NOW - 20 * HOUR)),
        key(
            "invoice-reader",
            End(Reason.GONE, "the live API key is not listed any more, so its secret is refused", since=NOW - DAY),
        ),
        key(
            "search-ranker",
            End(Reason.DRIFTED, f"{place.format('search-ranker')} holds something other than the live secret"),
            End(Reason.TO_DO, f"the next run: delivers to {place.format('search-ranker')}, which holds another secret"),
            places=2,
            held=1,
        ),
        key("mail-triage", End(Reason.EMPTIED, f"{place.format('mail-triage')} holds nothing"), held=0),
        key(
            "support-chat",
            End(
                Reason.PARKED,
                "3 runs in a row failed after a mint; the last: target aws refuses the write (AccessDenied)",
                since=NOW - 3 * DAY,
            ),
        ),
        key("lab-eval", End(Reason.LOGIN_REFUSED, "target vault: the login is refused (HTTP 403)", since=NOW - HOUR)),
        key("summaries", End(Reason.UNFINISHED, "a run left an open rotate", since=NOW - 40 * timedelta(minutes=1))),
        *(key(name, sealed) for name in ("lab-agents", "lab-notebook", "lab-tuning")),
        key("legacy-import", End(Reason.MISCONFIGURED, "there is no target 'vault-old' in the manifest")),
        key("pricing", End(Reason.ANOTHER_OWNER, "the record belongs to 'payments'", since=NOW - 9 * DAY)),
        key(
            "onboarding",
            End(Reason.HAND_OFF, "waits for an operator to make 'onboarding-b'", None, ("onboarding-b",), NOW - DAY),
        ),
        key("translations", End(Reason.BALANCE, "the smoke-check of the live secret: balance: HTTP 402")),
        key("voice-notes", End(Reason.ANOTHER_RUN, "another run is rotating it", since=NOW - timedelta(minutes=3))),
        key("moderation", End(Reason.BACK_OFF, "after 2 failures the next try waits", NOW + HOUR), age=31),
        key("tagging", End(Reason.DUE, "the secret is 30 days old", since=NOW - HOUR), age=30),
        key("embeddings", End(Reason.TO_DO, "the next run: renames 'embeddings' to 'embed'"), age=4),
        key("catalog", End(Reason.OVERLAP, "the old secret works until the overlap ends", NOW + 5 * HOUR), age=1),
        key("forecast", End(Reason.OVERLAP, "the old secret works until the overlap ends", NOW + 20 * HOUR), age=1),
    ]


def fleet() -> StatusDocument:
    """Return the status of forty keys of two owners at `NOW`, with a pool, and an API key that nobody owns."""
    keys = wrong()
    names = "ads bids chat docs etl faq gallery hiring intents jobs kiosk leads maps news orders photos quotes reports"
    calm = [
        key(name, age=number * 3 % 28, every=0 if number == 6 else 30)
        for number, name in enumerate([*names.split(), "lab-speech"])
    ]
    by_owner = {owner: tuple(one for one in (*keys, *calm) if one.owner == owner) for owner in OWNERS}
    pools = (PoolState("spare-", 2, 3),)
    runs = [RunStatus(owner, found, pools=pools[:number]) for number, (owner, found) in enumerate(by_owner.items())]
    unowned = ApiKey("5b6f7e10-1111-4222-8333-0123456789ab", "test of Anna", NOW - 400 * DAY)
    document = status_document(runs, NOW, (unowned,))
    assert len(document.keys) == 40
    assert {one.condition for one in document.keys} == set(Condition)
    return document
