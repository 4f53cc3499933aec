"""The place of a target: how it is shown, and which spellings are one store."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from keyturn.core.errors import ManifestError
from keyturn.core.model import Delivery, Desired, DesiredKey, SlotName, TargetConfig
from keyturn.core.record import DeliveryState, HeldAt, Record, Slot, dump, parse_record
from keyturn.manifest import load_data
from keyturn.targets.places import place_of, store_of

SAMPLES = sorted((Path(__file__).parent / "records").glob("*.json"))
VAULT = "https://vault.example.com:8200"
ENVIRONMENT = {
    "VAULT_ADDR": VAULT,
    "OP_CONNECT_HOST": "https://connect.example.com",
    "KEYTURN_MOUNT": "hush",
    "KEYTURN_ALLOWED_ORIGINS": f"vault={VAULT}#a,vault={VAULT}#a/b,vault={VAULT}#team",
}


def load(targets: Mapping[str, object], keys: Mapping[str, object] | None = None, base: Path = Path()) -> Desired:
    """Read a manifest with these targets."""
    data = {
        "apiVersion": "keyturn/v1",
        "name": "tests",
        "targets": targets,
        "records": {"target": "local"},
        "defaults": {"smoke": {"from": "skip"}},
        "keys": keys or {},
    }
    return load_data(data, "inputs", ENVIRONMENT, base=base)


def target(kind: str, base: Path = Path(), **settings: object) -> TargetConfig:
    """Read one target."""
    return load({"t": {"type": kind, **settings}}, base=base).targets[0]


SPELLINGS = [
    ("vault", {"address": VAULT}, {"address": f"{VAULT}/"}),
    ("vault", {"address": VAULT}, {"address": "https://VAULT.example.com:8200"}),
    ("vault", {"address": VAULT}, {"address": VAULT, "mount": "/secret/"}),
    ("vault", {"address": VAULT}, {"address": VAULT, "ca_cert": "ca.pem"}),
    ("vault", {"address": VAULT}, {"address": VAULT, "auth": {"method": "approle"}}),
    ("vault", {"address": VAULT, "namespace": "a/b"}, {"address": VAULT, "namespace": "a", "mount": "b/secret"}),
    (
        "onepassword-connect",
        {"host": "https://connect.example.com", "vault": "v"},
        {"host": "https://CONNECT.example.com:443/", "vault": "v", "create": True},
    ),
    ("aws-secrets-manager", {"region": "eu-west-1"}, {"region": "eu-west-1", "create": True, "kms_key": "k"}),
    (
        "aws-secrets-manager",
        {"region": "eu-west-1"},
        {"region": "eu-west-1", "endpoint": "https://secretsmanager-fips.eu-west-1.amazonaws.com"},
    ),
    ("dotenv", {"root": "secrets"}, {"root": "./x/../secrets/", "format": "json"}),
]


@pytest.mark.parametrize(("kind", "one", "other"), SPELLINGS)
@pytest.mark.finding("M3", before="two spellings of one place: two homes", now="one home, whatever the spelling")
def test_two_spellings_of_one_store_have_one_home(kind: str, one: dict[str, Any], other: dict[str, Any]) -> None:
    """Slashes, capitals, default ports, the login, the certificate and what may be created do not matter."""
    assert target(kind, **one).home == target(kind, **other).home


@pytest.mark.parametrize(
    ("kind", "one", "other"),
    [
        ("vault", {"address": VAULT}, {"address": VAULT, "mount": "other"}),
        ("vault", {"address": VAULT}, {"address": VAULT, "namespace": "team"}),
        ("aws-secrets-manager", {"region": "eu-west-1"}, {"region": "eu-west-2"}),
        ("aws-secrets-manager", {"region": "eu-west-1"}, {"region": "eu-west-1", "profile": "other"}),
        ("dotenv", {"root": "secrets"}, {"root": "secrets/more"}),
    ],
)
def test_two_stores_have_two_homes(kind: str, one: dict[str, Any], other: dict[str, Any]) -> None:
    """Another mount, namespace, region, account or directory is another store."""
    assert target(kind, **one).home != target(kind, **other).home


@pytest.mark.finding("M3", before="two keys name one field by two spellings", now="told as one delivery, named twice")
def test_one_field_cannot_be_named_twice_by_two_spellings() -> None:
    """Also by two targets whose settings are written differently."""
    targets = {
        "v": {"type": "vault", "address": VAULT},
        "w": {"type": "vault", "address": f"{VAULT}/", "mount": "/secret"},
    }
    keys = {name: {"deliver": [{"target": name, "path": "app", "field": "KEY"}]} for name in ("v", "w")}
    with pytest.raises(ManifestError, match="this delivery is already used by key v"):
        load(targets, keys)


def test_a_directory_below_the_manifest_has_the_same_home_in_every_checkout(tmp_path: Path) -> None:
    """A record knows it, and another runner has the checkout in another directory."""
    for name in ("one", "two"):
        (tmp_path / name / "real").mkdir(parents=True)
    one, two = (target("dotenv", tmp_path / name, root="real") for name in ("one", "two"))
    spelt = target("dotenv", tmp_path / "one", root="./real/../real/")
    assert one.home == two.home == spelt.home
    assert spelt.place == (("root", "real"), ("format", "dotenv"))


def test_the_place_shows_every_setting_with_its_defaults() -> None:
    """In the manifest's order and by its names."""
    found = target("vault", address=f"{VAULT}/", namespace="/team/", ca_cert="./ca.pem", auth={"method": "jwt"})
    assert found.place == (
        ("address", VAULT),
        ("mount", "secret"),
        ("namespace", "team"),
        ("ca_cert", "ca.pem"),
        ("auth.method", "jwt"),
        ("auth.mount", "jwt"),
    )


@pytest.mark.finding("L7", before="the value of a variable is a part of the place", now="the variable's name is shown")
def test_a_variable_is_shown_by_its_name() -> None:
    """Its value counts for the digests only."""
    plain = target("vault", address=VAULT, mount="hush")
    named = target("vault", address=VAULT, mount="${KEYTURN_MOUNT}")
    assert dict(named.place)["mount"] == "${KEYTURN_MOUNT}"
    assert "hush" not in str(named)
    assert (named.home, named.digest) == (plain.home, plain.digest)


def test_the_digest_covers_the_login_and_the_home_does_not() -> None:
    """A plan has to know both; a record only what it is about."""
    one = target("vault", address=VAULT)
    other = target("vault", address=VAULT, auth={"method": "kubernetes", "role": "x"})
    assert one.home == other.home
    assert one.digest != other.digest


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda path: path.stem)
def test_a_home_in_a_record_of_an_earlier_version_has_not_moved(sample: Path) -> None:
    """It is the digest of the settings as they are written, with a slash and capitals; the next write replaces it."""
    targets = {
        "v": {
            "type": "vault",
            "address": "https://Vault.example.com:8200/",
            "mount": "/secret/",
            "auth": {"method": "approle"},
        },
        "w": {"type": "dotenv", "root": "./secrets"},
    }
    homes = {one.name: one.homes for one in load(targets).targets}
    record = parse_record(sample.read_text(), where="here")
    old = {"v": "8ebf26fe67a262dc", "w": "44c9bf47949c0ce3"}
    earlier = replace(
        record, deliveries=tuple(replace(item, home=old[item.delivery.target]) for item in record.deliveries)
    )
    assert earlier.at_home(DesiredKey("bot", "tests", homes=homes)) == earlier
    written = json.loads(dump(earlier.homed(homes)))
    assert [one["home"] for one in written["deliveries"]] == [homes[d.delivery.target][0] for d in earlier.deliveries]
    assert written["deliveries"] == [] or old["v"] not in str(written)


def entry(delivery: Delivery, record_target: str = "", **homes: str) -> DesiredKey:
    """Return an entry with one delivery, and the homes of the manifest's targets."""
    stores = {name: (home, "") for name, home in homes.items()}
    return DesiredKey("bot", "tests", deliveries=(delivery,), homes=stores, record_target=record_target)


def test_another_name_of_the_same_target_is_the_same_delivery() -> None:
    """A target may be renamed, or have a second name: by its home the record knows what the entry names now."""
    old, new = Delivery("v", "app", "KEY"), Delivery("vault", "app", "KEY")
    noted = DeliveryState(old, 3, "7", "0" * 16, home="here")
    slot = Slot("uuid-1", "bot", held_in=(HeldAt(old, "7"),))
    record = Record("bot", "tests", "00" * 32, slots={SlotName.A: slot}, deliveries=(noted,))
    named = record.at_home(entry(new, vault="here"))
    assert named.deliveries == (replace(noted, delivery=new),)
    assert named.slots[SlotName.A].held_in == (HeldAt(new, "7"),)
    both = replace(record, deliveries=(noted, replace(noted, delivery=new)))
    assert both.at_home(entry(new, v="here", vault="here")).deliveries == both.deliveries[1:]
    for homes in ({"vault": "there"}, {}):
        assert record.at_home(entry(new, **homes)) == record
    assert record.at_home(entry(replace(new, path="web"), vault="here")) == record


def test_a_record_without_homes_knows_another_name_of_a_target_that_is_still_there() -> None:
    """Earlier versions noted no home for the target that holds the records."""
    old, new = Delivery("v", "app", "KEY"), Delivery("vault", "app", "KEY")
    record = Record("bot", "tests", "00" * 32, deliveries=(DeliveryState(old, 3, "7", "0" * 16),))
    assert record.at_home(entry(new, "v", v="here", vault="here")).deliveries[0].delivery == new
    assert record.at_home(entry(new, "v", v="here", vault="there")) == record
    assert record.at_home(entry(new, "v", vault="here")) == record


def test_deliveries_beside_the_records_move_with_them() -> None:
    """Those of another target that has moved are forgotten."""
    noted = DeliveryState(Delivery("v", "app", "KEY"), 3, "7", "0" * 16, home="here")
    record = Record("bot", "tests", "00" * 32, deliveries=(noted,))
    assert record.at_home(entry(noted.delivery, "v", v="there")) == record
    assert record.at_home(entry(noted.delivery, "w", v="there", w="x")).deliveries == ()


class Foreign(BaseModel):
    """Settings of a package that knows nothing of places."""

    url: str
    bucket: str = "keys"
    tags: list[str] = []
    auth: dict[str, str] = {}


def test_a_target_of_another_package_shows_its_settings() -> None:
    """All that have a value; the login and unchanged defaults do not tell stores apart."""
    settings = Foreign(url="https://x", tags=["a"], auth={"method": "m"})
    shown = (("url", "https://x"), ("bucket", "keys"), ("tags.0", "a"), ("auth.method", "m"))
    assert place_of(settings, Path()) == shown
    assert store_of(settings, Path()) == (("url", "https://x"), ("tags.0", "a"))


@pytest.mark.finding("B7", before="one file under two roots counted as two places", now="it is one place")
def test_one_file_below_two_roots_is_one_place() -> None:
    """Whichever folder its target begins with; another field of it is another place, and the whole file is not."""
    targets = {
        "outer": {"type": "dotenv", "root": "./a"},
        "inner": {"type": "dotenv", "root": "./a/b/", "format": "json"},
    }

    def keys(field: str) -> dict[str, object]:
        outer, inner = {"target": "outer", "path": "b/app.env", "field": "KEY"}, {"target": "inner", "path": "app.env"}
        return {"one": {"deliver": [outer]}, "two": {"deliver": [{**inner, "field": field}]}}

    with pytest.raises(ManifestError, match="this delivery is already used by key one"):
        load(targets, keys("KEY"))
    assert len(load(targets, keys("OTHER")).keys) == 2
