"""What does not fit together is told, all of it at once, each with its place."""

from __future__ import annotations

import pytest

from tests.support.manifests import KEYS, TOP, mistake, mistakes, read, told

UUID = "6d3b9a52-0000-4000-8000-000000000001"
OTHER = "6d3b9a52-0000-4000-8000-000000000002"


def with_key(*lines: str) -> str:
    """Return a manifest whose only key has these lines too."""
    return TOP + KEYS + "".join(f"    {line}\n" for line in lines)


def with_deliveries(*deliveries: str) -> str:
    """Return a manifest with one key for each list of deliveries."""
    keys = "".join(f"  bot{number}: {{deliver: [{each}]}}\n" for number, each in enumerate(deliveries))
    return f"{TOP}keys:\n{keys}"


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("rotation: {every: 30d}", "keys.bot.rotation.every: strategy is required"),
        ("rotation: {strategy: in place}", "did you mean in-place?"),
        ("rotation: {strategy: alternating, every: 12h}", "overlap (1d, the default) must be shorter than every (12h)"),
        ("rotation: {strategy: alternating, every: 2d, overlap: 2d}", "rotation.overlap: overlap (2d) must be shorter"),
        ("rotation: {every: 30}", "must be a duration such as 30d"),
        ("rotation: {every: 0d}", "must be between 1s and 3650d"),
        ("rotation: {every: -3d}", "must be a duration"),
        ("rotation: {every: 1m1h}", "must be a duration"),
        ("rotation: {every: 99999d}", "must be between 1s and 3650d"),
        ('rotation: {window: {cron: "0 2 * *", duration: 1h}}', "cron: must be a cron expression of five fields"),
        ('rotation: {window: {cron: "0 0 2 * * *", duration: 1h}}', "cron: must be a cron expression of five fields"),
        ('rotation: {window: {cron: "0 2 30 2 *", duration: 1h}}', "that ever matches"),
        ('rotation: {window: {cron: "0 2 * * *"}}', "window.duration: is required"),
        ('rotation: {window: {cron: "0 2 * * *", duration: 30s}}', "between 1m and 7d"),
        ('rotation: {window: {cron: "0 2 * * *", duration: 1h, timezone: Mars/Base}}', "IANA time zone"),
        ('rotation: {window: {cron: "0 2 * * *", duration: 1h, timezone: ../../etc/passwd}}', "IANA time zone"),
        ("smoke: {model: 4}", "smoke.model: must be a string; put it in quotes"),
        ("smoke: {form: skip}", "smoke.form: is not a field; did you mean from?"),
        ("smoke: {api: chats}", "must be 'chat' or 'responses'; did you mean chat?"),
        ("smoke: {expect_models: [a, 4]}", "smoke.expect_models[1]: must be a string"),
        ("adopt:", "keys.bot.adopt: is empty"),
        ("adopt: {}", "adopt.secret: is required"),
        ("adopt: {secret: keep}", "must be 'existing' or 'regenerate'"),
        ("adopt: {secret: existing, a: 1234-5}", "adopt.a: must be a uuid"),
        (f"adopt: {{secret: existing, b: {UUID}}}", "adopt.b: in-place has only slot a"),
        ("adopt: {secret: existing, live: b}", "adopt.live: in-place has only slot a"),
        (f"adopt: {{secret: existing, a: {UUID}, b: {UUID}}}", "adopt.b: in-place has only slot a"),
        ("clean_targets: no", "clean_targets: must be true or false; write false"),
        ("state: gone", "keys.bot.state: must be 'present' or 'absent'"),
        ("nmae: x", "keys.bot.nmae: is not a field; did you mean name?"),
        ("name: ' x'", "may not start or end with a space"),
        ("name: ''", "keys.bot.name: may not be empty"),
        (f"name: {'x' * 129}", "longer than 128 characters"),
        ('name: "a\\u202eb"', "U+202E"),
        ('name: "a\\u200bb"', "U+200B"),
        ('name: "a\\eb"', "U+001B"),
        ("name: 1234", "keys.bot.name: must be a string; put it in quotes"),
        ("timing: {lease: 3s}", "keys.bot.timing: is not a field"),
    ],
)
def test_a_wrong_field_of_a_key(line: str, text: str) -> None:
    """One mistake, in the line where it was made, that says what would be right."""
    found = [each for each in mistakes(with_key(line)) if text in f"{each.path}: {each.text}"]
    assert [each.line for each in found] == [12], mistakes(with_key(line))


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("timing: {settle: 20s}", "timing.settle: settle (20s) must be at least request (30s)"),
        ("timing: {lease: 59s}", "timing.lease: lease (59s) must be at least request + settle (1m)"),
        ("timing: {request: 2h}", "timing.request: must be between 1s and 1h"),
        ("timing: {lesae: 2h}", "timing.lesae: is not a field; did you mean lease?"),
        ("limits: {rotations_per_run: '20'}", "limits.rotations_per_run: must be a whole number"),
        ("limits: {rotations_per_run: true}", "limits.rotations_per_run: must be a whole number"),
        ("limits: {rotations_per_run: -1}", "must be at least 0"),
        ("records: {target: valt}", "records.target: there is no such target; did you mean vault?"),
        ("records: {target: files}", "cannot compare and set"),
        ("records: {target: vault, prefix: a/../b}", "records.prefix: this path is not allowed"),
        ("records:", "records: is empty"),
        ("notify: [{type: webhook, url: '${KEYTURN_RECORD_KEY}'}]", "notify[0].url: variables are read only in"),
        ("notify: [{type: webhook, url: 'https://a@b/'}]", "notify[0].url: a URL may not hold a user name"),
        (
            "notify: [{type: webhook, url: 'http://a.example/'}]",
            "notify[0].url: plain http goes only to this machine",
        ),
        ("notify: [{type: slack, url: 'https://example.com/'}]", "notify[0].url: is not a field"),
        ("notify: [{type: slak}]", "notify[0]: type must be one of 'webhook', 'slack', 'command', 'dead-man'"),
        ("notify: [{name: ops}]", "notify[0]: needs a type"),
        ("notify: [{type: slack, on: [parkd]}]", "notify[0].on[0]: must be 'rotated',"),
        ("notify: [{type: slack}, {type: dead-man, name: slack}]", "notify[1].name: another receiver is named 'slack'"),
        ("notify: [{type: command, command: [page]}]", "notify[0].command: must be an absolute path"),
        ("notify: [{type: command, command: [/bin/../x]}]", "notify[0].command: must be an absolute path"),
        ("notify: [{type: command, command: []}]", "notify[0].command: may not be empty"),
        ("notify: [{type: slack, name: Ops}]", "notify[0].name: must match"),
        ("record: {target: vault}", "record: is not a field; did you mean records?"),
    ],
)
def test_a_wrong_field_of_the_manifest(line: str, text: str) -> None:
    """As for a key."""
    only = mistake(f"{TOP}{KEYS}{line}\n")
    assert text in f"{only.path}: {only.text}"
    assert only.line == 12


@pytest.mark.parametrize(
    ("deliveries", "text"),
    [
        (("{target: vault, path: a//b}",), "deliver[0].path: this path is not allowed"),
        (("{target: vault, path: ../b}",), "deliver[0].path: this path is not allowed"),
        (("{target: vault, path: a b}",), "deliver[0].path: this path is not allowed"),
        (("{target: valt, path: a, field: K}",), "deliver[0].target: there is no such target; did you mean vault?"),
        (("{target: vault}",), "deliver[0].path: is required"),
        (
            ("{target: vault, path: keyturn, field: K}",),
            "deliver[0].path: is below the prefix of the records (keyturn)",
        ),
        (("{target: vault, path: keyturn/keys/bot, field: K}",), "is below the prefix of the records"),
        (("{target: files, path: a}",), "field is required: a target of type files has no whole value"),
        (("{target: vault, path: a, field: ''}",), "field: may not be empty"),
        (("",), "keys.bot0.deliver: at least one delivery is required"),
        (
            ("{target: vault, path: a, field: K}",) * 2,
            "keys.bot1.deliver[0]: this delivery is already used by key bot0",
        ),
        (("{target: vault, path: a, field: K}, {target: vault, path: a, field: K}",), "bot0.deliver[1]: this delivery"),
        (("{target: vault, path: a, field: K}", "{target: vault, path: a}"), "bot1.deliver[0]: uses the whole value"),
    ],
)
def test_a_wrong_delivery(deliveries: tuple[str, ...], text: str) -> None:
    """A place is a plain path outside the records, and belongs to one key."""
    assert text in told(with_deliveries(*deliveries))


def test_a_path_may_start_like_the_records() -> None:
    """Only what lies below the prefix is theirs."""
    assert read(with_deliveries("{target: vault, path: keyturn-apps/x, field: K}")).keys[0].deliveries


def test_two_targets_of_one_place_are_one_place() -> None:
    """Another name and another login do not make another vault."""
    twin = '  twin: {type: vault, address: "https://vault.example.com:8200", auth: {role: x}}\n  files:'
    text = with_deliveries("{target: vault, path: a, field: K}", "{target: twin, path: a, field: K}")
    assert "already used by key bot0" in told(text.replace("  files:", twin))


def test_a_target_may_hold_records_and_no_secrets() -> None:
    """Then nothing can be delivered there."""
    text = with_deliveries("{target: files, path: a, field: K}").replace("type: files", "type: ledger")
    assert told(text).endswith("a target of type ledger cannot hold secrets")


def test_without_a_place_for_records_one_has_to_be_named() -> None:
    """A directory is used only when named."""
    vault = '  vault: {type: vault, address: "https://vault.example.com:8200"}\n'
    text = with_deliveries("{target: files, path: a, field: K}").replace(vault, "")
    assert (
        told(text) == "targets: no target can hold records for all machines; add "
        "`records: {target: local}` to keep them on this one"
    )
    assert read(f"{text}records: {{target: local}}\n").records.target == "local"


@pytest.mark.parametrize(
    ("first", "second", "clash"),
    [
        ("name: x", "name: x", True),
        ("name: x", "name: bot-a", False),
        ("name: x, rotation: {strategy: alternating}", "name: x-a", True),
        ("name: x-b", "name: x, rotation: {strategy: alternating}", True),
        ("name: x", "name: x-a", False),
        ("name: x, rotation: {strategy: alternating}", "name: x-a, state: absent", False),
        ("name: bot1", "state: present", True),
    ],
)
def test_api_names_belong_to_one_key(first: str, second: str, clash: bool) -> None:
    """With the -a and -b that alternating adds; a key without a name is named after its id."""
    keys = [
        f"  bot{number}: {{{each}, deliver: [{{target: vault, path: p{number}, field: K}}]}}\n"
        for number, each in enumerate((first, second))
    ]
    text = f"{TOP}keys:\n{''.join(keys)}"
    if clash:
        assert {each.path for each in mistakes(text)} == {"keys.bot1.name"}
        assert all("already used by key bot0 at line 9" in each.text for each in mistakes(text))
    else:
        assert len(read(text).keys) == 2


def test_a_uuid_belongs_to_one_slot() -> None:
    """However it is spelled."""
    two = f"adopt: {{secret: regenerate, a: {UUID}, b: {UUID.upper()}}}"
    only = mistake(with_key(two, "rotation: {strategy: alternating}"))
    assert (only.path, only.line) == ("keys.bot.adopt.b", 12)
    assert "this uuid is already used" in only.text


def test_two_existing_keys_need_the_live_one_named() -> None:
    """The API cannot tell which of them has the secret that is in use."""
    adopt = f"secret: existing, a: {UUID}, b: {OTHER}"
    lines = (f"adopt: {{{adopt}}}", "rotation: {strategy: alternating}")
    assert "keys.bot.adopt.live: is required" in told(with_key(*lines))
    assert read(with_key(f"adopt: {{{adopt}, live: b}}", lines[1])).keys[0].adopt


def test_a_smoke_check_needs_a_model() -> None:
    """Unless it is skipped."""
    text = (TOP + KEYS).replace("smoke: {model: llama3.3-70b-instruct}", "clean_targets: true")
    assert "keys.bot.smoke.model: is required unless `from: skip`" in told(text)
    assert read(text + "    smoke: {from: skip}\n").keys


@pytest.mark.parametrize("key", ["-bot", "b t", "böt", "b/t", "x" * 65, '""', "~"])
def test_a_key_s_id_is_a_plain_word(key: str) -> None:
    """It becomes part of a path."""
    assert any("letters, digits, dots" in each.text for each in mistakes(TOP + KEYS.replace("bot:", f"{key}:", 1)))


def test_all_mistakes_are_told_at_once() -> None:
    """Those of single fields, and those between the fields that are right."""
    text = f"""\
apiVersion: keyturn/v2
name: 12
targets:
  vault: {{type: vault, adress: x}}
keys:
  one:
    state: here
    deliver: [{{target: vault, path: /, field: K}}, {{target: vault, path: p, field: K}}]
  two:
    rotation: {{every: 1d, strategy: alternating, window: {{cron: "x", duration: 1h}}}}
    adopt: {{secret: existing, a: nope}}
    deliver: [{{target: vault, path: p, field: K}}]
  {"three"}:
timing: {{settle: 10s}}
"""
    assert [(each.line, each.column, each.path) for each in mistakes(text)] == [
        (1, 13, "apiVersion"),
        (2, 7, "name"),
        (4, 24, "targets.vault.adress"),
        (6, 3, "keys.one.smoke.model"),
        (7, 12, "keys.one.state"),
        (8, 37, "keys.one.deliver[0].path"),
        (9, 3, "keys.two.smoke.model"),
        (10, 65, "keys.two.rotation.window.cron"),
        (11, 34, "keys.two.adopt.a"),
        (12, 15, "keys.two.deliver[0]"),
        (13, 9, "keys.three"),
        (14, 18, "timing.settle"),
    ]
    assert mistakes(text)[2].text == "is not a field; did you mean address?"


def test_a_mistake_in_the_defaults_is_told_once() -> None:
    """Not once for each key that has it."""
    text = (
        TOP.replace("defaults:", "defaults:\n  rotation: {every: 30}")
        + "keys:\n"
        + "".join(
            f"  bot{number}: {{deliver: [{{target: vault, path: p{number}, field: K}}]}}\n" for number in range(3)
        )
    )
    assert told(text) == "defaults.rotation.every: must be a duration such as 30d, 24h, 5m, 30s or 1h30m"


def test_required_fields_of_the_top_are_told() -> None:
    """At the start of the file."""
    assert [(each.line, each.path) for each in mistakes("limits: {}")] == [(1, "apiVersion"), (1, "keys"), (1, "name")]


def test_an_id_before_is_no_entry_and_of_one_key() -> None:
    """An id from which a key was moved has no entry, and only one key has its record; it has the form of an id."""
    kept = with_key("moved: {from: bot}")
    assert "keys.bot.moved.from: the id 'bot' still has an entry; remove it, or remove `moved`" in told(kept)
    places = [f"deliver: [{{target: vault, path: p{number}, field: K}}]" for number in range(2)]
    keys = "".join(f"  b{number}: {{moved: {{from: old}}, {place}}}\n" for number, place in enumerate(places))
    assert told(f"{TOP}keys:\n{keys}") == (
        "keys.b1.moved.from: the key 'b0' was moved from 'old' too; only one has its record"
    )
    assert "keys.bot.moved.from" in told(with_key("moved: {from: ../other}"))
    assert "keys.bot.moved" in told(with_key("moved:"))


def test_a_move_does_not_change_the_entry() -> None:
    """The line may come and go: a parked key stays parked, and no fingerprint of earlier versions changes."""
    plain, moved = (read(with_key(*lines)).keys[0] for lines in ((), ("moved: {from: before}",)))
    assert moved.moved_from == "before"
    assert moved.fingerprint == plain.fingerprint
