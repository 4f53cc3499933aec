"""The real world, against the sandbox and a real OpenBao: what the World protocol promises."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import httpx
import pytest

from keyturn.core.errors import ApiError, ApiForbidden, Conflict, CredentialError, InputError, TargetError, TargetMisfit
from keyturn.core.model import Api, Delivery, Desired, RecordsConfig, TargetConfig, Timing, WireKind
from keyturn.core.record import Claim, Record
from keyturn.core.secret import Secret
from keyturn.core.world import Held
from keyturn.engine.run_lock import Runs
from keyturn.live.live_world import LiveWorld, open_world
from keyturn.sandbox import ReadyKey, Sandbox
from tests.support.openbao import OpenBao
from tests.support.process import wait_until

MODEL = "llama3.3-70b-instruct"


def free() -> None:
    """A guard that lets everything through."""


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """A small account that still creates keys."""
    with Sandbox(create="allowed", seed=1, keys=[ReadyKey("bot", count=3)]) as running:
        yield running


@pytest.fixture
def prefix() -> str:
    """A prefix of records that no other test uses."""
    return f"reality-{uuid4().hex[:8]}"


@pytest.fixture
def environment(sandbox: Sandbox, openbao: OpenBao) -> dict[str, str]:
    """What an operator would export."""
    return sandbox.exports | {"VAULT_ADDR": openbao.address, "VAULT_TOKEN": openbao.root_token}


@pytest.fixture
def desired(openbao: OpenBao, prefix: str) -> Desired:
    """Two targets, one of them broken, and records in the good one."""
    targets = (
        TargetConfig("vault", "vault", {"address": openbao.address, "mount": "secret"}),
        TargetConfig("broken", "vault", {"address": "https://vault.example.com"}),
    )
    return Desired("owner", targets, RecordsConfig("vault", prefix), (), timing=Timing(request=10.0))


@pytest.fixture
def world(desired: Desired, environment: Mapping[str, str], tmp_path: Path) -> Iterator[LiveWorld]:
    """The real world of that manifest."""
    with open_world(desired, environment, tmp_path) as opened:
        yield opened


def is_ready(openbao: OpenBao, mount: str) -> bool:
    """Whether a new mount answers; right after its making it refuses with 400."""
    try:
        openbao.call("GET", f"{mount}/config")
    except httpx.HTTPStatusError:
        return False
    return True


def lists(sandbox: Sandbox) -> int:
    """How many list requests the sandbox saw."""
    return sum(seen.op == "list" for seen in sandbox.requests)


class TestList:
    """One list serves all."""

    def test_many_askers_cost_one_list(self, world: LiveWorld, sandbox: Sandbox) -> None:
        """Twenty threads, one request."""
        threads = [threading.Thread(target=world.list_keys) for _ in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
        assert [key.name for key in world.list_keys()] == ["bot-1", "bot-2", "bot-3"]
        assert lists(sandbox) == 1

    def test_a_fresh_list_shows_what_others_did(self, world: LiveWorld, sandbox: Sandbox) -> None:
        """The run's list is as old as its reading; a fresh one replaces it."""
        world.list_keys()
        sandbox.panel_create("new")
        assert len(world.list_keys()) == 3
        assert len(world.list_keys(fresh=True)) == 4
        assert len(world.list_keys()) == 4

    def test_our_own_changes_show_without_another_list(self, world: LiveWorld, sandbox: Sandbox) -> None:
        """Created, renamed, deleted."""
        one, two, _ = world.list_keys()
        made = world.create("mine", free)
        world.rename(one.uuid, "other", free)
        world.delete(two.uuid, free)
        seen = {key.uuid: key.name for key in world.list_keys()}
        assert lists(sandbox) == 1
        assert seen == {key.uuid: key.name for key in world.list_keys(fresh=True)}
        assert seen[made.key.uuid] == "mine"
        assert seen[one.uuid] == "other"
        assert two.uuid not in seen

    def test_a_refused_token_is_told_once_for_all(self, desired: Desired, sandbox: Sandbox, tmp_path: Path) -> None:
        """Every key fails with it; only a fresh try sends another request."""
        environment = sandbox.exports | {"DIGITALOCEAN_TOKEN": "dop_v1_" + "0" * 64}
        with open_world(desired, environment, tmp_path) as world:
            for _ in range(5):
                with pytest.raises(ApiForbidden):
                    world.list_keys()
            assert lists(sandbox) == 1
            with pytest.raises(ApiForbidden):
                world.list_keys(fresh=True)
            assert lists(sandbox) == 2


class TestAccount:
    """The team, and the API's clock."""

    def test_the_team_is_asked_for_once(self, world: LiveWorld, sandbox: Sandbox) -> None:
        """However many keys want to know."""
        first = world.account()
        assert first
        assert [world.account() for _ in range(3)] == [first] * 3
        assert sum(seen.path == "/v2/account" for seen in sandbox.requests) == 1

    def test_the_skew_is_known_after_an_answer(self, world: LiveWorld) -> None:
        """The sandbox's clock is ours."""
        assert world.clock_skew() == 0.0
        world.list_keys()
        assert abs(world.clock_skew()) < 5


class TestSecrets:
    """Minting and trying."""

    def test_a_minted_secret_is_accepted_and_its_predecessor_dies(self, world: LiveWorld) -> None:
        """Regenerate shows the new one and kills the old one."""
        uuid = world.list_keys()[0].uuid
        old, new = world.regenerate(uuid, free).secret, world.regenerate(uuid, free).secret
        assert world.models(old).kind is WireKind.UNAUTHORIZED
        assert world.models(new).kind is WireKind.OK
        assert world.complete(new, MODEL, Api.CHAT).kind is WireKind.OK

    def test_a_guard_that_refuses_sends_nothing(self, world: LiveWorld, sandbox: Sandbox) -> None:
        """Every mutating call asks it first."""

        def refuse() -> None:
            raise Conflict("too late")

        uuid = world.list_keys()[0].uuid
        calls: list[Callable[[], object]] = [
            lambda: world.create("x", refuse),
            lambda: world.regenerate(uuid, refuse),
            lambda: world.rename(uuid, "x", refuse),
            lambda: world.delete(uuid, refuse),
        ]
        for call in calls:
            with pytest.raises(Conflict):
                call()
        assert not any(seen.mutating for seen in sandbox.requests)


class TestDeliveries:
    """Targets, through the port."""

    def test_a_secret_is_written_read_replaced_and_removed(self, world: LiveWorld, prefix: str) -> None:
        """With versions; another field of the path stays."""
        place, other = (Delivery("vault", f"{prefix}/app", field) for field in ("KEY", "OTHER"))
        world.write_delivery(other, Secret("stays"), Held(), free)
        world.preflight(place)
        first = world.write_delivery(place, Secret("one"), Held(), free)
        world.write_delivery(place, Secret("two"), Held(Secret("one")), free)
        assert world.read_delivery(place).secret == Secret("two")
        assert world.read_delivery_version(place, first) == Secret("one")
        with pytest.raises(Conflict):
            world.write_delivery(place, Secret("three"), Held(Secret("one")), free)
        world.remove_delivery(place, Held(Secret("two")), free)
        assert world.read_delivery(place).secret is None
        assert world.read_delivery(other).secret == Secret("stays")
        assert world.fenced(place)

    def test_many_keys_that_share_a_path_do_not_disturb_each_other(self, world: LiveWorld, prefix: str) -> None:
        """Twelve fields of one path, written at once: one writer at a time, so none runs out of tries."""
        places = [Delivery("vault", f"{prefix}/shared", f"KEY_{number}") for number in range(12)]
        errors: list[Exception] = []

        def write(place: Delivery) -> None:
            try:
                world.write_delivery(place, Secret(place.field), Held(), free)
            except TargetError as error:
                errors.append(error)

        world.together([lambda place=place: write(place) for place in places])  # type: ignore[misc]
        assert errors == []
        assert [world.read_delivery(place).secret for place in places] == [Secret(place.field) for place in places]

    def test_a_broken_target_harms_only_who_uses_it(self, world: LiveWorld, prefix: str) -> None:
        """Its login may go nowhere else; the other target works, and so does the API."""
        with pytest.raises(InputError, match=r"vault\.example\.com"):
            world.read_delivery(Delivery("broken", "app", "KEY"))
        with pytest.raises(InputError, match="no target 'nowhere'"):
            world.read_delivery(Delivery("nowhere", "app", "KEY"))
        assert world.read_delivery(Delivery("vault", f"{prefix}/none", "KEY")).secret is None
        assert len(world.list_keys()) == 3


@pytest.fixture(params=["vault", "local"])
def store(
    request: pytest.FixtureRequest, desired: Desired, environment: Mapping[str, str], tmp_path: Path
) -> Iterator[LiveWorld]:
    """The world with its records in OpenBao, or in a directory beside the manifest."""
    records = RecordsConfig(request.param, desired.records.prefix)
    manifest = Desired("owner", desired.targets, records, (), timing=desired.timing)
    with open_world(manifest, environment, tmp_path) as opened:
        yield opened


class TestRecords:
    """Records and claims by compare-and-set."""

    def test_a_record_comes_back_as_it_was_written(self, store: LiveWorld) -> None:
        """And is listed; before, there is none and nothing is listed."""
        assert store.list_records() == ()
        none = store.read_record("bot")
        assert none.record is None
        record = Record("bot", "owner", "00" * 32, account="team", generation=3)
        version = store.write_record(record, none.version)
        found = store.read_record("bot")
        assert (found.record, found.version) == (record, version)
        assert store.list_records() == ("bot",)

    def test_a_write_over_another_version_is_refused(self, store: LiveWorld) -> None:
        """Two writers: the second reads again."""
        record = Record("bot", "owner", "00" * 32)
        none = store.read_record("bot").version
        first = store.write_record(record, none)
        store.write_record(Record("bot", "owner", "00" * 32, generation=1), first)
        for stale in (none, first):
            with pytest.raises(Conflict):
                store.write_record(record, stale)
        found = store.read_record("bot").record
        assert found is not None
        assert found.generation == 1

    def test_a_claim_comes_back_as_it_was_written(self, store: LiveWorld) -> None:
        """It is no record, and only the first writer gets it."""
        uuid = str(uuid4())
        none = store.read_claim(uuid)
        assert none.claim is None
        claim = Claim(uuid, "owner", "bot", created_at=datetime(2026, 8, 1, tzinfo=UTC))
        version = store.write_claim(claim, none.version)
        found = store.read_claim(uuid)
        assert (found.claim, found.version) == (claim, version)
        assert store.list_records() == ()
        with pytest.raises(Conflict):
            store.write_claim(claim, none.version)

    def test_a_uuid_that_leads_elsewhere_is_refused(self, store: LiveWorld) -> None:
        """Records and the API are input."""
        for uuid in ("../keys/bot", "a/b", "..", ""):
            with pytest.raises(InputError):
                store.read_claim(uuid)

    def test_a_record_that_cannot_be_read_is_an_error_never_none(
        self, world: LiveWorld, openbao: OpenBao, prefix: str
    ) -> None:
        """Garbage, a newer schema, and a deleted one."""
        for key, text in (("garbage", "{"), ("newer", '{"schema": 2}')):
            openbao.call("POST", f"secret/data/{prefix}/keys/{key}", {"data": {"document": text}})
            with pytest.raises(TargetMisfit, match="Nothing was changed"):
                world.read_record(key)
        world.write_record(Record("gone", "owner", "00" * 32), world.read_record("gone").version)
        openbao.call("DELETE", f"secret/data/{prefix}/keys/gone")
        with pytest.raises(TargetError):
            world.read_record("gone")

    def test_a_place_that_would_lose_records_gets_none(
        self, desired: Desired, environment: Mapping[str, str], openbao: OpenBao, prefix: str, tmp_path: Path
    ) -> None:
        """A mount that deletes versions after a while is seen before the first write."""
        openbao.call("POST", f"sys/mounts/{prefix}", {"type": "kv", "options": {"version": "2"}})
        wait_until(lambda: is_ready(openbao, prefix), "the mount")
        openbao.call("POST", f"{prefix}/config", {"delete_version_after": "1h"})
        fleeting = replace(desired.targets[0], settings={"address": openbao.address, "mount": prefix})
        with open_world(replace(desired, targets=(fleeting,)), environment, tmp_path) as world:
            version = world.read_record("bot").version
            for _ in range(2):
                with pytest.raises(TargetMisfit, match="delete_version_after"):
                    world.write_record(Record("bot", "owner", "00" * 32), version)
            assert world.read_record("bot").record is None


class TestMachine:
    """Clocks, chance, threads and runs."""

    def test_the_clocks_go_on(self, world: LiveWorld) -> None:
        """The wall clock is aware and in UTC; the other one counts what is slept."""
        before, wall = world.uptime(), world.now()
        world.sleep(0.02)
        world.sleep(-1)
        assert world.uptime() - before >= 0.02
        assert wall.utcoffset() == timedelta(0)
        assert abs(wall.timestamp() - time.time()) < 5

    def test_chance_is_hex_and_never_the_same(self, world: LiveWorld) -> None:
        """Sixteen bytes are thirty-two digits."""
        made = {world.random_hex(16) for _ in range(50)}
        assert len(made) == 50
        assert all(len(bytes.fromhex(text)) == 16 for text in made)

    def test_a_run_of_this_machine_is_known(self, world: LiveWorld) -> None:
        """By the file that it locks."""
        with Runs().hold() as run:
            assert world.run_alive(run.id) is True
        assert world.run_alive(run.id) is None


class TestOpening:
    """Credentials and URLs from the environment."""

    @pytest.mark.parametrize("given", [{}, {"DIGITALOCEAN_TOKEN": " \n"}])
    def test_without_a_token_it_says_what_to_set(self, desired: Desired, given: dict[str, str], tmp_path: Path) -> None:
        """Exit 5."""
        with pytest.raises(CredentialError, match="DIGITALOCEAN_TOKEN") as caught:
            open_world(desired, given, tmp_path)
        assert caught.value.exit_code == 5

    def test_the_other_name_of_the_token_serves_too(self, desired: Desired, sandbox: Sandbox, tmp_path: Path) -> None:
        """As doctl and Terraform call it; a line end around it is dropped."""
        environment = {name: text for name, text in sandbox.exports.items() if name != "DIGITALOCEAN_TOKEN"}
        environment["DIGITALOCEAN_ACCESS_TOKEN"] = f"{sandbox.token}\n"
        with open_world(desired, environment, tmp_path) as world:
            assert len(world.list_keys()) == 3

    def test_a_token_that_no_header_can_carry_is_refused_without_showing_it(
        self, desired: Desired, tmp_path: Path
    ) -> None:
        """Two lines pasted."""
        with pytest.raises(CredentialError) as caught:
            open_world(desired, {"DIGITALOCEAN_TOKEN": "dop_v1_aa\nbb"}, tmp_path)
        assert "dop_v1" not in str(caught.value)

    @pytest.mark.parametrize("variable", ["KEYTURN_API_URL", "KEYTURN_INFERENCE_URL"])
    @pytest.mark.parametrize(
        "url", ["http://api.example.com", "ftp://127.0.0.1", "https://user:open-sesame@127.0.0.1", "api.example.com"]
    )
    def test_a_url_that_would_leak_the_token_is_refused(
        self, desired: Desired, variable: str, url: str, tmp_path: Path
    ) -> None:
        """Plain http goes to this machine only; the variable is named, exit 3."""
        with pytest.raises(InputError, match=variable) as caught:
            open_world(desired, {"DIGITALOCEAN_TOKEN": "t", variable: url}, tmp_path)
        assert caught.value.exit_code == 3
        assert "sesame" not in str(caught.value)

    def test_nothing_is_sent_and_no_target_is_opened_by_opening(
        self, desired: Desired, environment: Mapping[str, str], sandbox: Sandbox, tmp_path: Path
    ) -> None:
        """A manifest whose every target is broken opens."""
        with open_world(desired, environment, tmp_path):
            assert sandbox.requests == ()

    def test_a_world_beside_another_has_its_list_and_its_own_request_time(
        self, world: LiveWorld, desired: Desired, environment: Mapping[str, str], sandbox: Sandbox, tmp_path: Path
    ) -> None:
        """One list and one rate budget serve both; the clients only where a request may take as long."""
        slow = replace(desired, timing=Timing(request=60.0))
        world.list_keys()
        with open_world(slow, environment, tmp_path, beside=world) as other:
            assert other.control.request == 60.0
            assert other.control.budget is world.control.budget
            assert len(other.list_keys()) == 3
            assert open_world(slow, environment, tmp_path, beside=other).control is other.control
        assert lists(sandbox) == 1

    def test_an_api_that_is_not_there_is_an_error_of_the_call(self, desired: Desired, tmp_path: Path) -> None:
        """Not of opening."""
        environment = {"DIGITALOCEAN_TOKEN": "t", "KEYTURN_API_URL": "http://127.0.0.1:1"}
        with open_world(desired, environment, tmp_path) as world, pytest.raises(ApiError):
            world.account()
