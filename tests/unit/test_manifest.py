"""A manifest that is right becomes what is desired."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

from keyturn.core.errors import ManifestError
from keyturn.core.model import (
    Adopt,
    AdoptSecret,
    Api,
    Delivery,
    Origin,
    RecordsConfig,
    Rotation,
    SlotName,
    Smoke,
    Strategy,
    Timing,
    Window,
)
from keyturn.manifest import check_all, load, load_all, load_data, manifest_schema
from tests.support.manifests import ENVIRONMENT, KEYS, KINDS, TOP, mistake, read, told

FULL = """\
apiVersion: keyturn/v1
name: platform-keys
targets:
  files: {type: files}
  vault: {type: vault, address: "https://vault.example.com:8200", auth: {method: kubernetes, role: keyturn}}
defaults:
  rotation: {strategy: alternating, every: 30d, overlap: 24h}
  smoke: {model: llama3.3-70b-instruct}
keys:
  checkout-bot:
    name: checkout-bot-prod
    adopt: {secret: existing, a: 6D3B9A52-0000-4000-8000-000000000001, live: a}
    deliver:
      - {target: vault, path: apps/checkout/inference, field: MODEL_ACCESS_KEY}
      - {target: vault, path: prod/checkout/inference}
    rotation: {strategy: in-place, every: 90d, window: {cron: "0 2 * * SUN", duration: 2h, timezone: Europe/Berlin}}
    smoke: {model: openai-gpt-oss-20b, api: responses, expect_models: [a, b]}
  vpc-bot:
    deliver: [{target: files, path: vpc.env, field: KEY}]
    smoke: {from: skip}
    clean_targets: false
  old-bot: {state: absent}
limits: {rotations_per_run: 3}
timing: {delivery: 5m, settle: 31s, lease: 1m30s, propagation: 60s, request: 30s}
"""


def test_every_field_arrives() -> None:
    """The whole manifest of the design, and more."""
    desired = read(FULL)
    bot, vpc, old = desired.keys
    assert (desired.owner, desired.rotations_per_run) == ("platform-keys", 3)
    assert [target.name for target in desired.targets] == ["files", "vault"]
    assert desired.targets[1].settings == {
        "address": "https://vault.example.com:8200",
        "auth": {"method": "kubernetes", "role": "keyturn"},
    }
    assert bot.timing == desired.timing == Timing(300, 31, 90, 60, 30)
    assert (bot.id, bot.owner, bot.name) == ("checkout-bot", "platform-keys", "checkout-bot-prod")
    assert bot.adopt == Adopt(AdoptSecret.EXISTING, a="6d3b9a52-0000-4000-8000-000000000001", live=SlotName.A)
    assert bot.deliveries == (
        Delivery("vault", "apps/checkout/inference", "MODEL_ACCESS_KEY"),
        Delivery("vault", "prod/checkout/inference"),
    )
    assert bot.rotation == Rotation(
        Strategy.IN_PLACE,
        timedelta(days=90),
        timedelta(hours=24),
        Window("0 2 * * SUN", timedelta(hours=2), "Europe/Berlin"),
    )
    assert bot.smoke == Smoke("openai-gpt-oss-20b", Api.RESPONSES, ("a", "b"))
    assert (vpc.name, vpc.smoke.origin, vpc.clean_targets) == ("vpc-bot", Origin.SKIP, False)
    assert (old.absent, bot.absent) == (True, False)


def test_records_go_to_the_first_target_that_can_compare_and_set() -> None:
    """Not to the first target, where that cannot."""
    assert read(FULL).records == RecordsConfig("vault", "keyturn")


def test_records_go_where_they_are_named() -> None:
    """Also to a local directory, which is no target."""
    assert read(f"{TOP}{KEYS}records: {{target: vault, prefix: ops/keys}}").records == RecordsConfig(
        "vault", "ops/keys"
    )
    assert read(f"{TOP}{KEYS}records: {{target: local}}").records == RecordsConfig("local")


def test_defaults_are_merged_field_by_field_and_lists_replaced() -> None:
    """A key that changes one field of a mapping keeps the others; null takes a default away."""
    text = TOP.replace("smoke: {model: llama3.3-70b-instruct}", "smoke: {model: m, expect_models: [a, b]}").replace(
        "defaults:\n", "defaults:\n  rotation: {strategy: alternating, every: 30d, overlap: 12h}\n"
    )
    keys = KEYS + "    smoke: {expect_models: [c]}\n    rotation: {every: null}\n"
    [key] = read(text + keys).keys
    assert key.smoke == Smoke("m", expect_models=("c",))
    assert key.rotation == Rotation(Strategy.ALTERNATING, None, timedelta(hours=12))


def test_an_alias_may_stand_for_a_value() -> None:
    """What is anchored once may be used again."""
    text = TOP + "keys:\n  a: {name: &n one, deliver: [{target: vault, path: x, field: *n}]}\n"
    assert read(text).keys[0].deliveries == (Delivery("vault", "x", "one"),)


def test_a_byte_order_mark_is_passed_over() -> None:
    """Some editors write one."""
    assert read(b"\xef\xbb\xbf" + (TOP + KEYS).encode()).owner == "platform-keys"


def test_only_true_and_false_are_booleans() -> None:
    """The rule of YAML 1.2, as in editors that check with the schema: `on` and `no` are strings."""
    [key] = read(TOP + KEYS.replace("bot:", "no:", 1) + "    name: on\n").keys
    assert (key.id, key.name) == ("no", "on")


def test_the_fingerprint_is_of_what_is_meant() -> None:
    """Another spelling, order or owner keeps it; another meaning changes it, also through the defaults."""
    [plain] = read(TOP + KEYS).keys
    spelled = KEYS.replace(
        "{target: vault, path: apps/bot, field: KEY}", '{field: "KEY", path: apps/bot, target: vault}'
    )
    [other] = read(TOP.replace("platform-keys", "others") + spelled).keys
    [changed] = read(TOP.replace("llama3.3-70b-instruct", "m") + KEYS).keys
    assert len(plain.fingerprint) == 16
    assert plain.fingerprint == other.fingerprint != changed.fingerprint


def test_plain_data_follows_the_same_rules() -> None:
    """For callers that have no file; their mistakes have a path and no line."""
    data: dict[str, object] = {
        "apiVersion": "keyturn/v1",
        "name": "pulumi:p/s/n",
        "targets": {"vault": {"type": "vault", "address": ENVIRONMENT["VAULT_ADDR"]}},
        "keys": {"p.s.n": {"deliver": [{"target": "vault", "path": "x", "field": "K"}], "smoke": {"model": "m"}}},
    }
    assert load_data(data, "the inputs", ENVIRONMENT, kinds=KINDS).keys[0].id == "p.s.n"
    with pytest.raises(ManifestError) as caught:
        load_data({**data, "name": ""}, "the inputs", ENVIRONMENT, kinds=KINDS)
    assert str(caught.value) == "the inputs: name: may not be empty"
    with pytest.raises(ManifestError, match=r"vault\.address: no credential may be sent to .*VAULT_ADDR is not set"):
        load_data(data, "the inputs", {}, kinds=KINDS)


def test_a_file_is_read(tmp_path: Path) -> None:
    """And its name stands before its mistakes."""
    file = tmp_path / "keyturn.yaml"
    file.write_text(TOP + KEYS)
    assert load(file, ENVIRONMENT, kinds=KINDS).owner == "platform-keys"
    assert load_all(file, ENVIRONMENT, kinds=KINDS)[0].owner == "platform-keys"
    file.write_text(TOP + KEYS.replace("apps/bot", "apps//bot"))
    with pytest.raises(
        ManifestError, match=r"keyturn\.yaml:11:31: keys\.bot\.deliver\[0\]\.path: this path is not allowed"
    ):
        load(file, ENVIRONMENT, kinds=KINDS)


def test_what_the_environment_lacks_is_no_mistake_of_the_manifest(tmp_path: Path) -> None:
    """To `check_all`, which needs none; to anyone who opens the targets it is one, with the same words and place."""
    text = TOP.replace("https://vault.example.com", "https://${KEYTURN_HOST}").replace("{type: files}", "{type: vault}")
    text = text.replace("{type: vault}", '{type: vault, address: "https://vault.example.com"}')
    (tmp_path / "a.yaml").write_text(text + KEYS)
    checked = check_all(tmp_path, {}, kinds=KINDS)
    assert [desired.owner for desired in checked.manifests] == ["platform-keys"]
    said = [(each.line, each.path, each.text[:21]) for each in checked.unsure]
    assert said == [
        (4, "targets.vault.address", "KEYTURN_HOST: not set"),
        (5, "targets.files.address", "no credential may be "),
    ]
    with pytest.raises(ManifestError) as caught:
        load_all(tmp_path, {}, kinds=KINDS)
    assert caught.value.mistakes == checked.unsure
    (tmp_path / "a.yaml").write_text(text.replace("https://vault.", "http://vault.") + KEYS)
    with pytest.raises(ManifestError, match="plain http goes only to this machine"):
        check_all(tmp_path, {}, kinds=KINDS)


def test_a_missing_or_unreadable_file_is_one_mistake(tmp_path: Path) -> None:
    """It says what to do."""
    for path, what in ((tmp_path / "no.yaml", "keyturn init"), (tmp_path, "use one of its manifests")):
        with pytest.raises(ManifestError, match=what):
            load(path, ENVIRONMENT)
    with pytest.raises(ManifestError, match="cannot be read"):
        load(tmp_path / ("n" * 300), ENVIRONMENT)


def test_a_directory_means_all_its_manifests(tmp_path: Path) -> None:
    """In the order of their names; hidden files and other endings are passed over."""
    for name, owner, key in (("b.yml", "b", "bot-b"), ("a.yaml", "a", "bot-a")):
        text = (TOP + KEYS).replace("platform-keys", owner).replace("bot", key)
        (tmp_path / name).write_text(text)
    (tmp_path / ".hidden.yaml").write_text("not this")
    (tmp_path / "README.md").write_text("nor this")
    assert [desired.owner for desired in load_all(tmp_path, ENVIRONMENT, kinds=KINDS)] == ["a", "b"]


def test_a_directory_without_manifests_is_a_mistake(tmp_path: Path) -> None:
    """Nothing to do is not what was meant."""
    with pytest.raises(ManifestError, match="no manifest"):
        load_all(tmp_path, ENVIRONMENT)


def test_what_is_named_in_two_files_is_found(tmp_path: Path) -> None:
    """Owner, key id, API name and delivery, the last even through a target of another name; and all other mistakes."""
    (tmp_path / "a.yaml").write_text(TOP + KEYS)
    (tmp_path / "b.yaml").write_text((TOP + KEYS).replace("vault:", "other:").replace("target: vault", "target: other"))
    (tmp_path / "c.yaml").write_text("")
    with pytest.raises(ManifestError) as caught:
        load_all(tmp_path, ENVIRONMENT, kinds=KINDS)
    found = [(Path(each.file).name, each.path, each.text.split(" is ")[0]) for each in caught.value.mistakes]
    assert found == [
        ("b.yaml", "name", "this owner name"),
        ("b.yaml", "keys.bot", "this key id in the same records"),
        ("b.yaml", "keys.bot.name", "the API name bot"),
        ("b.yaml", "keys.bot.deliver[0]", "this delivery"),
        ("c.yaml", "", "the file"),
    ]
    assert f"already used by key bot at {tmp_path}/a.yaml:9" in str(caught.value)


def test_the_schema_agrees_with_the_reader() -> None:
    """What is right validates; what is wrong in a way that a schema can tell does not."""
    import yaml

    schema = manifest_schema(KINDS)
    Draft202012Validator.check_schema(schema)
    validator = Draft202012Validator(schema)
    validator.validate(yaml.safe_load(FULL))
    for right, wrong in (
        ("every: 90d", "every: 90 days"),
        ("strategy: in-place", "strategy: inplace"),
        ("type: files}", "type: files, colour: red}"),
        ("api: responses", "apis: responses"),
        ("state: absent", "state: gone"),
    ):
        with pytest.raises(ValidationError):
            validator.validate(yaml.safe_load(FULL.replace(right, wrong)))


def test_the_schema_lets_other_packages_add_targets() -> None:
    """A type that is not known here may have any settings."""
    import yaml

    other = FULL.replace("{type: files}", "{type: theirs, colour: red}")
    Draft202012Validator(manifest_schema(KINDS)).validate(yaml.safe_load(other))


def test_the_published_schema_is_the_generated_one() -> None:
    """Where this fails: `keyturn schema manifest > schemas/manifest.v1.json`."""
    published = Path(__file__).parents[2] / "schemas" / "manifest.v1.json"
    assert json.loads(published.read_text()) == manifest_schema()


def test_an_unknown_type_of_target_names_its_neighbour() -> None:
    """Whatever else uses that target is not complained about."""
    text = (TOP + KEYS).replace("type: vault", "type: valt")
    assert told(text) == "targets.vault.type: there is no such type of target; did you mean vault?"


def test_the_name_local_is_taken() -> None:
    """`records: {target: local}` could mean either."""
    assert mistake((TOP + KEYS).replace("files:", "local:")).path == "targets.local"
