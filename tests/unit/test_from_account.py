"""A manifest that is drafted from the API's answers is valid, whatever the API keys are called."""

from __future__ import annotations

import re
import uuid
from datetime import UTC, datetime

import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from keyturn.core.model import AdoptSecret, ApiKey, Desired, Strategy
from keyturn.manifest import load_text
from keyturn.manifest.from_account import Drafted, from_account

ADDRESS = "http://127.0.0.1:8200"
ENVIRONMENT = {"VAULT_ADDR": ADDRESS}
MADE = datetime(2026, 8, 1, tzinfo=UTC)
NASTY = [
    "a\n  evil: {state: absent}",
    "a\u2028b\u0085c\ud800\ufffe\ufeff",
    "*star &anchor !tag %dir @at `tick` # no comment: {} [] , \" ' \\",
    "${KEYTURN_HOME}",
    "sk-do-" + "A" * 64,
    " padded ",
    "",
    "n" * 500,
    "null",
    "True",
    "1e3",
    "-",
    "日本語",
    "\u202etxt",
]


def keys(*names: str) -> list[ApiKey]:
    """API keys of these names."""
    return [ApiKey(str(uuid.UUID(int=number + 1)), name, MADE) for number, name in enumerate(names)]


def draft(*names: str) -> tuple[Drafted, Desired]:
    """Draft for these names, and read what was drafted."""
    drafted = from_account(keys(*names), address=ADDRESS)
    return drafted, load_text(drafted.text.encode(), "keyturn.yaml", ENVIRONMENT)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.text(max_size=40) | st.sampled_from([*NASTY, "bot", "Bot", "bot-2", "x-a", "x-b"]), max_size=8))
@example(NASTY)
@example(["bot", "bot", "bot-2", "BOT", "bot 2"])
@example(["bot-a", "bot-b", "-a", "-b", "null-a", "null-b"])
def test_every_draft_is_valid_and_adopts_each_key_once(names: list[str]) -> None:
    """As many entries as API keys, each of one uuid, in place, keeping its secret; nothing else comes in by a name."""
    drafted, desired = draft(*names)
    spares = [name for name in names if re.match(r"(?i)(spares?|pool)[-_. ]", name)]
    assert drafted.entries == len(desired.keys) == len(names) - len(spares)
    assert len({key.adopt.a for key in desired.keys if key.adopt}) == len(desired.keys)
    assert {key.adopt.secret for key in desired.keys if key.adopt} <= {AdoptSecret.EXISTING}
    assert all(key.rotation.strategy is Strategy.IN_PLACE and not key.absent for key in desired.keys)
    by_uuid = {key.uuid: key.name for key in keys(*names)}
    kept = [key for key in desired.keys if key.adopt and key.name == by_uuid[key.adopt.a]]
    plain = [name for name in names if re.fullmatch(r"[a-z]{1,20}", name) and name not in spares]
    assert {key.name for key in kept} >= set(plain)
    assert all(line.isprintable() for line in drafted.text.splitlines())


def test_a_usual_draft() -> None:
    """The ids are the names; comments say since when."""
    drafted, desired = draft("report-bot", "checkout-bot")
    assert [(key.id, key.name) for key in desired.keys] == [
        ("checkout-bot", "checkout-bot"),
        ("report-bot", "report-bot"),
    ]
    assert str(desired.keys[0].deliveries[0]) == "vault:apps/checkout-bot#API_KEY"
    assert "  checkout-bot: # created 2026-08-01\n" in drafted.text
    assert drafted.text.startswith("# yaml-language-server: $schema=keyturn.schema.json\n")


def test_duplicates_are_told_apart_by_uuid() -> None:
    """One keeps the name; apply renames the other, and a comment says so."""
    drafted, desired = draft("bot", "bot", "bot-2")
    assert sorted(key.name for key in desired.keys) == ["bot", "bot-2", "bot-3"]
    why = "now called bot, of the same name as another: `keyturn adopt bot-3` confirms it and gives it the name below"
    assert why in drafted.text


def test_two_that_may_be_one_alternating_key() -> None:
    """A comment says so, and is right in place of both; there is none if a third API key has the plain name."""
    drafted, desired = draft("bot-a", "bot-b", "other-a", "pair", "pair-a", "pair-b")
    assert len(desired.keys) == 6
    assert drafted.text.count("may be one alternating key") == 1
    wanted = "  # TO DO: bot-a and bot-b may be one alternating key. If so, write this instead:\n"
    head, _, rest = drafted.text.partition(wanted)
    hint = [row.replace("# ", "", 1) for row in rest.splitlines() if row.startswith("  # ")]
    (one,) = load_text((head + "\n".join(hint)).encode(), "keyturn.yaml", ENVIRONMENT).keys
    assert (one.id, one.name, one.rotation.strategy) == ("bot", "bot", Strategy.ALTERNATING)
    assert one.adopt is not None
    assert (one.adopt.a, one.adopt.b) == tuple(key.uuid for key in keys("bot-a", "bot-b"))


def test_a_secret_as_a_name_is_not_repeated() -> None:
    """Neither in an entry nor in a comment."""
    drafted, desired = draft("sk-do-" + "A" * 64)
    assert "A" * 20 not in drafted.text
    assert desired.keys[0].name == desired.keys[0].id == "key-00000000"


def test_spares_become_an_idea_of_a_pool() -> None:
    """They are no entries, and the pool is a comment that is right when it is uncommented."""
    drafted, desired = draft("bot", "spare-1", "spare-2")
    assert [key.id for key in desired.keys] == ["bot"]
    assert drafted.left_out == 2
    with_pool = load_text(drafted.text.replace("# pool:", "pool:"), "keyturn.yaml", ENVIRONMENT)
    assert with_pool.keys[0].pool is not None
    assert with_pool.keys[0].pool.prefix == "spare-"


def test_owned_and_unusable_keys_are_left_out() -> None:
    """With a comment that says why; a uuid of another form names nothing."""
    found = [*keys("mine", "theirs"), ApiKey("../x\n", "odd"), ApiKey(str(uuid.UUID(int=9)), "gone", None, MADE)]
    drafted = from_account(found, address=ADDRESS, namespace='team\n"', owned={found[1].uuid: "the key b of team"})
    assert list(yaml.safe_load(drafted.text)["keys"]) == ["mine"]
    assert yaml.safe_load(drafted.text)["targets"]["vault"]["namespace"] == 'team\n"'
    assert f"# Left out: theirs ({found[1].uuid}) belongs to the key b of team\n" in drafted.text
    assert r"# Left out: odd (../x\n) has no uuid that a manifest can name" in drafted.text
    assert drafted.left_out == 2


def test_an_empty_account() -> None:
    """Is a manifest without keys."""
    assert draft()[1].keys == ()


def test_a_command_that_reads_a_pipe_asks_nobody() -> None:
    """A pipe holds the secret, so there is no answer in it."""
    text = from_account(keys("bot"), address=ADDRESS).text
    assert re.findall(r"\| (keyturn adopt .*)", text) == ["keyturn adopt KEY --secret stdin --yes"]
