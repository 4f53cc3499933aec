"""The operator's policy: how it is read, what it refuses in a manifest, what it lets a run do, and its drafts."""

from __future__ import annotations

import json
import os
import re
import time
from pathlib import Path

import pytest
import yaml
from jsonschema import Draft202012Validator

from keyturn.core.errors import ManifestError, PolicyError
from keyturn.core.model import Desired, DesiredKey, RecordsConfig
from keyturn.core.permits import Permit
from keyturn.manifest import check_policy, draft, load_all, load_text, permitted, policy_schema, read_policy

ROOT = Path(__file__).parents[2]
SAMPLE = Path(__file__).parent / "policies/v1.yaml"
"""A policy as the first version with policies read it; it is never changed."""
ENVIRONMENT = {"VAULT_ADDR": "https://vault.example.com"}
MANIFEST = """\
apiVersion: keyturn/v1
name: platform
targets:
  vault: {type: vault, address: "https://vault.example.com", auth: {method: jwt, role: ci}}
  env: {type: dotenv, root: ./run}
records: {target: vault, prefix: keyturn}
pool: {prefix: spare-}
limits: {rotations_per_run: 30}
timing: {lease: 100s, settle: 40s, request: 35s}
freeze: [{from: "2026-12-01T00:00:00Z", until: "2026-12-31T00:00:00Z", reason: x}]
keys:
  bot:
    name: checkout-bot
    adopt: {secret: existing}
    rotation: {strategy: alternating, every: 30d, overlap: 12h}
    smoke: {from: skip}
    clean_targets: false
    deliver:
      - {target: vault, path: apps/checkout, field: KEY}
      - {target: env, path: bot.env, field: KEY}
"""
POLICY = """\
apiVersion: keyturn-policy/v1
owners:
  platform:
    records: {target: vault, prefix: keyturn}
    names: [checkout-*, spare-**]
    targets:
      vault: {type: vault, address: "https://VAULT.example.com:443/", auth: {method: jwt, role: ci}}
      env: {type: dotenv, root: run}
    deliver: ["vault:apps/*#KEY", "env:*.env#KEY"]
    allow: [existing, skip, no-cleaning]
    limits: {rotations: 30}
    timing: {lease: 100s, settle: 40s, request: 35s, overlap: 12h, every: 20d, freeze: 31d}
"""
PERMIT = Permit(("bot-*",), rotations=20, deletes=1, removals=5)


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """Write the manifest and the policy that allows it."""
    manifest, policy = tmp_path / "keyturn.yaml", tmp_path / "policy.yaml"
    manifest.write_text(MANIFEST)
    policy.write_text(POLICY)
    return manifest, policy


def load(files: tuple[Path, Path]) -> Desired:
    """Load the manifest under the policy."""
    manifest, policy = files
    return load_all(manifest, ENVIRONMENT, policy=read_policy(policy))[0]


def refused(files: tuple[Path, Path]) -> list[str]:
    """Return the violations without the folder."""
    with pytest.raises(PolicyError) as caught:
        load(files)
    assert caught.value.exit_code == 4
    return [line.replace(f"{files[0].parent}/", "") for line in str(caught.value).splitlines()]


def test_a_manifest_that_the_policy_names_is_loaded_with_its_permit(files: tuple[Path, Path]) -> None:
    """Places are compared in normal form. The entry's fingerprint is the same as without a policy."""
    desired = load(files)
    plain = load_all(files[0], ENVIRONMENT)[0]
    assert desired.permit is not None
    assert desired.permit.names == ("checkout-*", "spare-**")
    assert desired.permit.where[""] == f"{files[1]}:3: owners.platform"
    assert [key.permit for key in desired.keys] == [desired.permit]
    assert [key.fingerprint for key in desired.keys] == [key.fingerprint for key in plain.keys]
    assert (plain.permit, plain.keys[0].permit) == (None, None)


PINNED = "is not what the policy names for this target"
NO_NAME = "the API key name {0!r} matches no pattern of the policy"
NO_DELIVERY = "the delivery {0} matches no pattern of the policy"
VIOLATIONS = [
    (
        'com", auth',
        'com", mount: other, auth',
        "4:69: targets.vault.mount",
        PINNED,
        "7: targets.vault.mount",
    ),
    ("role: ci", "role: admin", "4:88: targets.vault.auth.role", PINNED, "7: targets.vault.auth.role"),
    ("./run}", "./other}", "5:29: targets.env.root", PINNED, "8: targets.env.root"),
    (
        "  env: {type: dotenv, root: ./run}",
        "  env: {type: dotenv, root: ./run}\n  more: {type: dotenv}",
        "6:3: targets.more",
        "the policy names no target of this name",
        "6: targets",
    ),
    (
        "prefix: keyturn}",
        "prefix: mine}",
        "6:34: records.prefix",
        "the policy keeps the records below 'keyturn', not below 'mine'",
        "4: records.prefix",
    ),
    (
        "records: {target: vault, prefix: keyturn}",
        "records: {target: local}",
        "6:19: records.target",
        "the policy keeps the records in 'vault', not in 'local'",
        "4: records.target",
    ),
    (
        "prefix: spare-}",
        "prefix: team-}",
        "7:16: keys.bot.pool.prefix",
        "no pattern of the policy admits every name that starts with 'team-'",
        "5: names",
    ),
    ("run: 30", "run: 31", "8:29: limits.rotations_per_run", "the policy allows at most 30", "11: limits.rotations"),
    ("lease: 100s", "lease: 99s", "9:17: timing.lease", "the policy allows no less than 1m40s", "12: timing.lease"),
    ("settle: 40s", "settle: 39s", "9:31: timing.settle", "the policy allows no less than 40s", "12: timing.settle"),
    (
        "request: 35s",
        "request: 34s",
        "9:45: timing.request",
        "the policy allows no less than 35s",
        "12: timing.request",
    ),
    ("name: checkout-bot", "name: team/bot", "13:11: keys.bot.name", NO_NAME.format("team/bot-a"), "5: names"),
    (
        "overlap: 12h",
        "overlap: 11h",
        "15:60: keys.bot.rotation.overlap",
        "the policy allows no less than 12h",
        "12: timing.overlap",
    ),
    (
        "every: 30d",
        "every: 19d",
        "15:46: keys.bot.rotation.every",
        "the policy allows no less than 20d",
        "12: timing.every",
    ),
    (
        "2026-12-31T00:00:00Z",
        "2027-01-01T00:00:01Z",
        "10:10: freeze[0]",
        "the policy allows no freeze of more than 31d",
        "12: timing.freeze",
    ),
    (
        "path: apps/checkout",
        "path: apps/checkout/more",
        "19:9: keys.bot.deliver[0]",
        NO_DELIVERY.format("vault:apps/checkout/more#KEY"),
        "9: deliver",
    ),
    (
        "checkout, field: KEY",
        "checkout, field: PASSWORD",
        "19:9: keys.bot.deliver[0]",
        NO_DELIVERY.format("vault:apps/checkout#PASSWORD"),
        "9: deliver",
    ),
]


@pytest.mark.finding(
    "H3", before="the manifest alone names its owner, records and places", now="each is held to a rule"
)
@pytest.mark.finding("B2", before="any records and any pool", now="with a policy only those that it names")
@pytest.mark.finding("B7", before="a key could rotate as often as runs began", now="a policy names the shortest time")
@pytest.mark.finding("H6", before="any mount and any login", now="with a policy only those that it names")
@pytest.mark.finding("M2", before="any directory", now="with a policy only those that it names")
@pytest.mark.parametrize("case", VIOLATIONS, ids=[after for _, after, *_ in VIOLATIONS])
def test_a_violation_names_both_places(files: tuple[Path, Path], case: tuple[str, str, str, str, str]) -> None:
    """`file:line:column: field: what (policy: file:line: rule)`."""
    before, after, field, what, rule = case
    assert before in MANIFEST
    files[0].write_text(MANIFEST.replace(before, after))
    rule = rule.replace(": ", ": owners.platform.")
    assert f"keyturn.yaml:{field}: {what} (policy: policy.yaml:{rule})" in refused(files)


def test_an_owner_that_the_policy_does_not_name_is_refused(files: tuple[Path, Path]) -> None:
    """With this one sentence: nothing else can be compared."""
    files[0].write_text(MANIFEST.replace("name: platform", "name: other"))
    said = "keyturn.yaml:2:7: name: the policy names no owner 'other' (policy: policy.yaml:2: owners)"
    assert refused(files) == [said]


@pytest.mark.parametrize(
    ("word", "field"), [("existing", "adopt.secret"), ("skip", "smoke.from"), ("no-cleaning", "clean_targets")]
)
def test_what_the_rule_does_not_allow_is_refused(files: tuple[Path, Path], word: str, field: str) -> None:
    """By the word of `allow`."""
    files[1].write_text(POLICY.replace(f"{word}, " if f"{word}, " in POLICY else f", {word}", ""))
    (said,) = refused(files)
    assert f" keys.bot.{field}: the policy does not allow '{word}' (policy: policy.yaml:10: " in said


@pytest.mark.finding(
    "M6", before="limits and waiting times are the manifest's", now="what a policy leaves out is a default"
)
def test_what_a_policy_leaves_out_is_not_allowed(files: tuple[Path, Path]) -> None:
    """A rule with nothing but its records allows no name, no target, no delivery, and the default numbers."""
    files[1].write_text("apiVersion: keyturn-policy/v1\nowners: {platform: {records: {target: local}}}\n")
    said = "\n".join(refused(files))
    for field in (
        "records.target", "targets.vault", "targets.env", "limits.rotations_per_run", "keys.bot.name",
        "keys.bot.pool.prefix", "keys.bot.deliver[0]", "keys.bot.deliver[1]", "keys.bot.rotation.overlap",
        "keys.bot.adopt.secret", "keys.bot.smoke.from", "keys.bot.clean_targets",
    ):  # fmt: skip
        assert f": {field}: " in said, field
    assert "at most 20" in said
    assert "timing" not in said.replace("timing.overlap", ""), "longer than the defaults is allowed"


def test_the_value_of_a_variable_is_not_repeated(files: tuple[Path, Path]) -> None:
    """Not even if it is what violates the policy."""
    files[0].write_text(MANIFEST.replace("auth: {method: jwt", 'mount: "${KEYTURN_MOUNT}", auth: {method: jwt'))
    with pytest.raises(PolicyError) as caught:
        load_all(files[0], {**ENVIRONMENT, "KEYTURN_MOUNT": "hidden-mount"}, policy=read_policy(files[1]))
    assert "targets.vault.mount" in str(caught.value)
    assert "hidden" not in str(caught.value)


def test_a_directory_tells_every_violation_up_to_a_hundred(files: tuple[Path, Path], tmp_path: Path) -> None:
    """Sorted by file, then the number of the others."""
    folder = tmp_path / "manifests"
    folder.mkdir()
    keys = "\n".join(f"  k{number}: {{state: absent}}" for number in range(60))
    for name in ("a", "b"):
        head = f"apiVersion: keyturn/v1\nname: {name}\nrecords: {{target: local}}\nkeys:\n"
        (folder / f"{name}.yaml").write_text(head + keys.replace("  k", f"  {name}"))
    files[1].write_text('apiVersion: keyturn-policy/v1\nowners: {"?": {records: {target: local}}}\n')
    said = refused((folder, files[1]))
    assert len(said) == 101
    assert said[0].startswith("manifests/a.yaml:5:3: keys.a0.name: ")
    assert said[-1].endswith("and 20 more violations")


def test_the_exact_owner_wins_then_the_first_pattern(files: tuple[Path, Path]) -> None:
    """So a rule for one stack can stand beside the rule for all."""
    rule = "{records: {target: local}}"
    owners = f'{{"pulumi:shop/**": {rule}, "pulumi:**": {rule}, "pulumi:shop/prod/bot": {rule}}}'
    files[1].write_text(f"apiVersion: keyturn-policy/v1\nowners: {owners}\n")
    policy = read_policy(files[1])
    names = {owner: found.name if (found := policy.rule(owner)) else None for owner in OWNERS}
    assert names == OWNERS


OWNERS = {
    "pulumi:shop/prod/bot": "pulumi:shop/prod/bot",
    "pulumi:shop/prod/other": "pulumi:shop/**",
    "pulumi:x": "pulumi:**",
    "platform": None,
}


# The file.


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", ": the policy is empty"),
        ("# nothing\n", ": the file is empty"),
        ("- a\n", ":1:1: "),
        ("owners: {}\n", ":1:1: apiVersion: is required"),
        ("apiVersion: keyturn/v1\nowners: {}\n", ":1:13: apiVersion: must be 'keyturn-policy/v1'"),
        (POLICY.replace("names:", "nmaes:"), ":5:5: owners.platform.nmaes: is not a field; did you mean names?"),
        (POLICY.replace("lease: 100s", "lease: soon"), ":12:21: owners.platform.timing.lease: must be a duration"),
        (POLICY.replace("rotations: 30", "rotations: -1"), "owners.platform.limits.rotations: must be at least 0"),
        (POLICY.replace("existing, ", "everything, "), ":10:13: owners.platform.allow[0]: must be 'existing'"),
        (POLICY.replace("env:*.env#KEY", "*.env#KEY"), "owners.platform.deliver[1]: must be target:path#field"),
        (POLICY.replace("{target: vault, p", "{target: vautl, p"), "records.target: is neither `local`"),
        (POLICY.replace("role: ci", "rloe: ci"), ":7:91: owners.platform.targets.vault.auth.rloe: is not a field"),
        (POLICY.replace("root: run", 'root: "${KEYTURN_ROOT}"'), "root: a policy reads no variables; write the value"),
        (POLICY.replace("root: run", "root: dop_v1_" + "0" * 64), "a manifest may not contain a literal secret"),
        (POLICY.replace("checkout-*", "b" * 513), "owners.platform.names[0]: is longer than 512 characters"),
        ("x: &a [" + "1, " * 60 + "]\n" + "y: [" + "*a, " * 2000 + "]\n", "too many values"),
        ("a" * (1024 * 1024 + 1), "the file is larger than 1024 KiB"),
    ],
)  # fmt: skip
def test_a_wrong_policy_is_refused_with_its_line(files: tuple[Path, Path], text: str, said: str) -> None:
    """Like a wrong manifest, with exit code 3."""
    files[1].write_text(text)
    with pytest.raises(ManifestError, match=re.escape(said)) as caught:
        read_policy(files[1])
    assert caught.value.exit_code == 3
    assert "dop_v1_0" not in str(caught.value)


def test_only_a_regular_file_is_read(tmp_path: Path) -> None:
    """Neither a named pipe, which would wait for ever, nor a device, a directory or nothing."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    began = time.monotonic()
    for path, said in (
        (pipe, "is not a regular file"),
        (Path("/dev/zero"), "is not a regular file"),
        (tmp_path, "is a directory|is not a regular file"),
        (tmp_path / "gone", "there is no such policy"),
        (tmp_path / ("n" * 300), "cannot be read"),
    ):
        with pytest.raises(ManifestError, match=said):
            read_policy(path)
    assert time.monotonic() - began < 5


def test_an_installed_policy_may_be_a_symbolic_link(files: tuple[Path, Path], tmp_path: Path) -> None:
    """Kubernetes mounts every file of a ConfigMap as one."""
    link = tmp_path / "link.yaml"
    link.symlink_to(files[1])
    assert load((files[0], link)).permit


def test_a_policy_of_the_first_version_is_read() -> None:
    """Each field, with the same meaning, as long as there is `keyturn-policy/v1`."""
    policy = read_policy(SAMPLE)
    rule = policy.rule("platform")
    assert rule is not None
    assert rule.permit == Permit(
        names=("checkout-*", "report-bot"),
        rotations=50,
        deletes=2,
        removals=5,
        allow=frozenset({"existing", "skip", "take-over", "no-cleaning"}),
        key_prefixes=("sk-new-",),
        deliver=tuple(rule.model.deliver),
        where=rule.permit.where,
    )
    assert policy.rule("pulumi:shop/prod/bot") is not None
    Draft202012Validator(policy_schema()).validate(yaml.safe_load(SAMPLE.read_text()))


def test_the_schema_refuses_what_the_reader_refuses() -> None:
    """It is a valid schema, closed, and knows every field of the sample."""
    schema = policy_schema()
    Draft202012Validator.check_schema(schema)
    assert json.loads((ROOT / "schemas/policy.v1.json").read_text()) == schema
    wrong = yaml.safe_load(SAMPLE.read_text())
    wrong["owners"]["platform"]["more"] = 1
    assert not Draft202012Validator(schema).is_valid(wrong)


def test_a_check_needs_no_file() -> None:
    """For other faces: a desired state and a policy give the violations, without positions."""
    policy = read_policy(SAMPLE)
    desired = Desired("platform", (), RecordsConfig("local"), (DesiredKey("x", "platform", "x"),))
    said = [str(mistake) for mistake in check_policy(policy, desired, base=Path())]
    assert any("keys.x.name: the API key name 'x' matches no pattern" in line for line in said)
    assert any("records.target: " in line for line in said)
    assert permitted(policy, desired).keys[0].permit is not None


@pytest.mark.parametrize("keys", [300])
def test_a_policy_costs_little(tmp_path: Path, keys: int) -> None:
    """Checking 300 keys against 300 exact names and deliveries takes less time than reading them."""
    key = "  k{0}: {{deliver: [{{target: vault, path: apps/{0}, field: KEY}}], smoke: {{model: m}}}}\n"
    text = MANIFEST[: MANIFEST.index("pool:")] + "keys:\n" + "".join(key.format(number) for number in range(keys))
    desired = load_text(text, "keyturn.yaml", ENVIRONMENT)
    (tmp_path / "policy.yaml").write_text(draft([desired]))
    began = time.process_time()
    load_text(text, "keyturn.yaml", ENVIRONMENT)
    reading = time.process_time() - began
    policy = read_policy(tmp_path / "policy.yaml")
    began = time.process_time()
    assert check_policy(policy, desired, base=Path()) == ()
    assert time.process_time() - began < max(reading, 1.0)
