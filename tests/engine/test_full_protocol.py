"""The full provider over its protocol, without an engine: what each call answers, and how it fails."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from google.protobuf.struct_pb2 import Struct
from pulumi.output import UNKNOWN
from pulumi.runtime import rpc
from pulumi.runtime.proto import engine_pb2
from pulumi.runtime.proto import provider_pb2 as wires
from pulumi.runtime.proto.provider_pb2 import DiffResponse, PropertyDiff
from pulumi.runtime.proto.provider_pb2_grpc import ResourceProviderStub, add_ResourceProviderServicer_to_server
from pulumi.runtime.proto.status_pb2 import Status

from keyturn import __version__
from keyturn.core.reasons import Reason
from keyturn.core.results import Change, End, KeyPlan, Planned
from keyturn_provider import inputs, keys, messages, session
from keyturn_provider.plugin import imports, preview, schema, settings, wire, words
from keyturn_provider.plugin.resources import RESOURCES
from keyturn_provider.plugin.servicer import Provider
from keyturn_provider.session import Uniqueness

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

URN = "urn:pulumi:dev::shop::my:Team$keyturn:index:ModelAccessKey::bot"
OWNER = "pulumi:shop/dev/my:Team/bot#provider"
CHECK_URN = "urn:pulumi:dev::shop::keyturn:index:SmokeCheck::works"
PLACES = {"targets": {"vault": {"type": "vault", "address": "https://vault.example.com:8200", "mount": "secret"}}}
DELIVER = [{"target": "vault", "path": "apps/bot", "field": "KEY"}]
NEWS: dict[str, object] = {
    **PLACES,
    "deliver": DELIVER,
    "smoke": {"model": "m"},
    "key": "shop.dev.bot",
    "rotation": {"strategy": "in-place", "every": "30d"},
}
PAST, FUTURE = "2020-01-01T00:00:00+00:00", "2999-01-01T00:00:00+00:00"
AT_REST = {**NEWS, "owner": OWNER, "health": "healthy", "rotatedAt": PAST, "nextRotationAt": FUTURE, "generation": 1}


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Iterator[ResourceProviderStub]:
    """The provider as an engine sees it: over gRPC."""
    monkeypatch.setattr(session, "uniqueness", Uniqueness())
    monkeypatch.setenv("VAULT_ADDR", "https://vault.example.com:8200")
    server = grpc.server(ThreadPoolExecutor(max_workers=4))
    add_ResourceProviderServicer_to_server(Provider(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield ResourceProviderStub(channel)
    server.stop(None).wait(5)


def struct(values: Mapping[str, object]) -> Struct:
    """Return values as an engine sends them."""
    return wire.packed(values)


def values(properties: Struct) -> dict[str, Any]:
    """Return what was answered."""
    found: dict[str, Any] = rpc.deserialize_properties(properties, keep_unknowns=True)
    return found


def diff(engine: ResourceProviderStub, olds: Mapping[str, object], news: Mapping[str, object] = NEWS) -> DiffResponse:
    """Ask whether a key has to be updated."""
    answer: DiffResponse = engine.Diff(wires.DiffRequest(id="k", urn=URN, olds=struct(olds), news=struct(news)))
    return answer


def failures(engine: ResourceProviderStub, news: Mapping[str, object], urn: str = URN) -> list[str]:
    """Return the mistakes in inputs."""
    return [failure.reason for failure in engine.Check(wires.CheckRequest(urn=urn, news=struct(news))).failures]


def test_the_schema_names_every_input_and_the_types_that_the_resources_succeed(engine: ResourceProviderStub) -> None:
    """What the schema lacks no SDK can set; what it has besides would be refused as unknown."""
    found = json.loads(engine.GetSchema(wires.GetSchemaRequest()).schema)
    assert found["version"] == __version__
    key, check = found["resources"][words.KEY], found["resources"][words.SMOKE_CHECK]
    assert set(key["inputProperties"]) == {words.camel(name) for name in inputs.KEY}
    assert set(check["inputProperties"]) == {words.camel(name) for name in inputs.SMOKE_CHECK}
    assert set(found["config"]["variables"]) == set(settings.KNOWN)
    assert {name for name, item in found["config"]["variables"].items() if item.get("secret")} == set(settings.TOKENS)
    assert key["aliases"] == [{"type": "pulumi-python:dynamic/keyturn:ModelAccessKey"}]
    assert key["properties"]["secret"]["secret"] is True
    references = {part["$ref"] for part in _parts(found) if "$ref" in part} - {"pulumi.json#/Any"}
    assert {name.removeprefix("#/types/") for name in references} == set(found["types"])
    assert set(schema.FACTS) == {words.camel(name) for name in (*preview.FACTS, "health", "owner")}


def _parts(value: object) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
    for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _parts(item)


def test_a_place_is_what_the_urn_says() -> None:
    """The owner differs from the dynamic resource's, and succeeds it; a component's key has its types in the owner."""
    plain = words.place("urn:pulumi:dev::shop::keyturn:index:ModelAccessKey::bot")
    assert (plain.identity, plain.owner, plain.type) == ("shop.dev.bot", "pulumi:shop/dev/bot#provider", words.KEY)
    assert inputs.predecessor(plain.owner) == inputs.owner({"project": "shop", "stack": "dev", "resource_name": "bot"})
    assert words.place(URN).owner == OWNER
    assert session.family(OWNER) == session.family("pulumi:shop/dev/mail") == "pulumi:shop/dev/"


def test_names_go_in_and_out_unchanged_below_targets() -> None:
    """What is below `targets` is the user's; a name of two words has one spelling in programs and one in a manifest."""
    camel = {"rotationTrigger": 1, "smoke": {"expectModels": ["m"]}, "targets": {"my_Vault": {"roleId": 1}}}
    snake = {"rotation_trigger": 1, "smoke": {"expect_models": ["m"]}, "targets": {"my_Vault": {"roleId": 1}}}
    assert words.inward(camel) == snake == words.inward(snake)
    assert words.outward(snake) == camel
    assert words.inward({"retireAt": "", "__defaults": []}) == {}


def test_a_check_completes_the_inputs_and_names_every_mistake(engine: ResourceProviderStub) -> None:
    """The key's id comes from the URN; a mistake has no property name, so that no value is shown."""
    bare = {name: value for name, value in NEWS.items() if name != "key"}
    answer = engine.Check(wires.CheckRequest(urn=URN, news=struct(bare)))
    assert (values(answer.inputs)["key"], list(answer.failures)) == ("shop.dev.bot", [])
    smoke = {"expectModels": 7}
    wrong = {**bare, "expose": True, "deliver": [{"target": "valt", "path": "x"}], "onDelete": "keep", "smoke": smoke}
    text = "\n".join(failures(engine, wrong))
    assert "unknown input expose; known: name, " in text
    assert "onDelete: must be 'delete' or 'retain'" in text
    assert "smoke.expectModels: " in text
    assert "deliver[0].target" in text
    assert failures(engine, {**bare, "deliver": UNKNOWN, "targets": UNKNOWN}) == []
    other = URN.replace("::bot", "::mail")
    assert any("two resources of this program have the key" in text for text in failures(engine, NEWS, other))
    assert failures(engine, {"deliveries": [], **PLACES, "smoke": {}}, CHECK_URN)


def test_a_renamed_resource_keeps_its_key(engine: ResourceProviderStub) -> None:
    """The id of the old inputs is kept, those of the dynamic provider too."""
    olds = struct({**NEWS, "project": "shop", "resource_name": "other", "__provider": "p"})
    bare = struct({name: value for name, value in NEWS.items() if name != "key"})
    renamed = URN.replace("::bot", "::new-name")
    assert values(engine.Check(wires.CheckRequest(urn=renamed, olds=olds, news=bare)).inputs)["key"] == "shop.dev.bot"


@pytest.mark.parametrize(
    ("olds", "news", "shown"),
    [
        ({}, {}, {}),
        ({}, {"rotationTrigger": 7}, {"rotationTrigger": PropertyDiff.ADD}),
        ({"rotationTrigger": 7}, {"rotationTrigger": 8}, {"rotationTrigger": PropertyDiff.UPDATE}),
        ({"freeze": [{}]}, {}, {"freeze": PropertyDiff.DELETE}),
        ({"nextRotationAt": PAST}, {}, {"rotatedAt": PropertyDiff.UPDATE}),
        ({"retireAt": PAST}, {}, {"retireAt": PropertyDiff.UPDATE}),
        ({"health": "drifted: it is"}, {}, {"health": PropertyDiff.UPDATE}),
        ({"owner": "pulumi:shop/old/bot#provider"}, {}, {"owner": PropertyDiff.UPDATE}),
        ({"owner": "", "project": "shop", "stack": "dev", "__provider": "p"}, {}, {"owner": PropertyDiff.UPDATE}),
    ],
)
def test_a_difference_has_the_name_that_explains_it(
    engine: ResourceProviderStub, olds: dict[str, object], news: dict[str, object], shown: dict[str, int]
) -> None:
    """A due rotation shows the age of the secret, a drift the health; nothing ever replaces a key."""
    answer = diff(engine, {**AT_REST, **olds}, {**NEWS, **news})
    assert answer.changes == (DiffResponse.DIFF_SOME if shown else DiffResponse.DIFF_NONE)
    assert {name: part.kind for name, part in answer.detailedDiff.items()} == shown
    assert sorted(answer.diffs) == sorted(shown)
    assert list(answer.replaces) == []
    assert answer.hasDetailedDiff


def test_a_changed_input_has_the_name_of_the_schema() -> None:
    """The row says the same name as the difference beside it."""
    place = words.place(URN)
    olds, news = words.inward(AT_REST), words.inward({**NEWS, "rotationTrigger": 7})
    assert RESOURCES[words.KEY].diff(place, olds, news).why == "rotationTrigger changed"
    elsewhere = RESOURCES[words.KEY].diff(place, {**olds, "owner": "pulumi:shop/old/bot#provider"}, news)
    assert elsewhere.why == f"its owner becomes {place.owner}; rotationTrigger"


def test_a_preview_knows_what_an_up_leaves_as_it_is() -> None:
    """Only what the plan changes is unknown: a change of smoke alone makes no dependent's inputs unknown."""
    facts = dict.fromkeys(preview.FACTS, "old")
    news = {"deliver": DELIVER, "smoke": {"model": "n"}, "owner": OWNER}
    nothing = KeyPlan("k", (), End(Reason.AT_REST), "")
    assert preview.outputs({**facts, "smoke": {"model": "m"}}, news, nothing) == {**news, **facts, "health": "healthy"}
    rotated = KeyPlan("k", (Planned(Change.ROTATE, "due", "why"),), End(Reason.AT_REST), "", mints=True)
    found = preview.outputs(facts, news, rotated)
    assert found["digest"] is UNKNOWN
    assert found["deliveries"] == [{**DELIVER[0], "version": UNKNOWN}]
    moved = KeyPlan("k", (Planned(Change.DELIVER, "missing", "why"),), End(Reason.AT_REST), "")
    found = preview.outputs(facts, news, moved)
    assert (found["digest"], found["deliveries"]) == ("old", [{**DELIVER[0], "version": UNKNOWN}])
    assert preview.outputs({}, news, nothing)["uuid"] is UNKNOWN


def test_a_configuration_is_checked_and_completes_the_inputs(engine: ResourceProviderStub) -> None:
    """Objects come as JSON text. Targets are joined, a resource's own input wins, and no change of it replaces."""
    wrong = struct({"vaultTokn": "x", "targets": "[1]", "refreshBeforeUpdate": "perhaps"})
    found = [item.reason for item in engine.CheckConfig(wires.CheckRequest(news=wrong)).failures]
    told = [text.partition(":")[0] for text in found]
    assert told == ["unknown setting vaultTokn; known", "targets", "refreshBeforeUpdate"]
    olds, news = struct({"vaultToken": "a"}), struct({"vaultToken": "b"})
    assert engine.DiffConfig(wires.DiffRequest(olds=olds, news=news)).changes == DiffResponse.DIFF_SOME
    assert list(engine.DiffConfig(wires.DiffRequest(olds=olds, news=news)).replaces) == []
    shared = {**PLACES, "smoke": {"model": "m", "expectModels": ["m"]}}
    texts = {name: json.dumps(value) for name, value in shared.items()} | {"refreshBeforeUpdate": "false"}
    answer = engine.Configure(wires.ConfigureRequest(args=struct(texts)))
    assert answer.supportsPreview
    own = {"targets": {"mine": {"type": "local"}}, "smoke": {"model": "own"}, "deliver": DELIVER}
    checked = values(engine.Check(wires.CheckRequest(urn=URN, news=struct(own))).inputs)
    assert set(checked["targets"]) == {"vault", "mine"}
    assert checked["smoke"] == {"model": "own"}
    bare = values(engine.Check(wires.CheckRequest(urn=URN, news=struct({"deliver": DELIVER}))).inputs)
    assert bare["smoke"] == shared["smoke"]


def test_an_error_is_one_line_and_shows_nothing_of_a_foreign_one(
    engine: ResourceProviderStub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The text of an error of another library could hold a secret."""

    def broken(_: object) -> None:
        raise RuntimeError("sk-secret")

    monkeypatch.setattr(keys, "create", broken)
    with pytest.raises(grpc.RpcError) as caught:
        engine.Create(wires.CreateRequest(urn=URN, properties=struct(NEWS)))
    assert caught.value.details().startswith("keyturn failed with RuntimeError. This is a bug")
    assert "\n" not in caught.value.details()
    assert wire.DETAILS not in dict(caught.value.trailing_metadata())


@pytest.mark.parametrize(("make", "kind"), [((), "ErrorResourceInitFailed"), (("bot",), "ErrorResourceAwaitFailed")])
def test_a_failed_create_tells_the_engine_what_it_is(
    engine: ResourceProviderStub, monkeypatch: pytest.MonkeyPatch, make: tuple[str, ...], kind: str
) -> None:
    """A key that is there is kept in the state; what waits for someone is awaited."""

    def stopped(_: object) -> None:
        error = keys.NotAtRest("its secret is not proven", None, make)
        error.outputs = {"key": "shop.dev.bot", "uuid": "u", "rotated_at": None, "health": "not proven"}
        raise error

    monkeypatch.setattr(keys, "create", stopped)
    with pytest.raises(grpc.RpcError) as caught:
        engine.Create(wires.CreateRequest(urn=URN, properties=struct(NEWS)))
    status = Status.FromString(dict(caught.value.trailing_metadata())[wire.DETAILS])
    assert status.message == caught.value.details() == "its secret is not proven"
    assert status.details[0].type_url == f"type.googleapis.com/pulumirpc.{kind}"
    if not make:
        found = wires.ErrorResourceInitFailed()
        assert status.details[0].Unpack(found)
        assert (found.id, list(found.reasons), found.refresh_before_update) == ("shop.dev.bot", [status.message], True)
        assert values(found.properties) == {"key": "shop.dev.bot", "uuid": "u", "rotatedAt": "", "health": "not proven"}


@pytest.mark.parametrize(("newer", "shown"), [(True, ["it waits"]), (False, [])])
def test_why_a_key_is_awaited_is_shown_once(monkeypatch: pytest.MonkeyPatch, newer: bool, shown: list[str]) -> None:
    """A newer engine drops the text of the error, so it gets a message; an older one shows the error."""
    told: list[str] = []

    class Engine:
        def RequirePulumiVersion(self, request: object) -> None:  # noqa: N802 - the name in the protocol
            if not newer:
                raise grpc.RpcError

        def Log(self, request: engine_pb2.LogRequest) -> None:  # noqa: N802 - the name in the protocol
            told.append(request.message)

    monkeypatch.setattr(messages, "get_engine", Engine)
    messages.awaited("it waits")
    messages.flush(20)
    assert told == shown


def test_a_secret_output_is_always_wrapped() -> None:
    """The engine hands it over in plain, and would keep it so."""
    assert rpc.is_rpc_secret(rpc.deserialize_properties(wire.packed({"secret": "s"}))["secret"])
    assert rpc.is_rpc_secret(rpc.deserialize_properties(wire.packed({"secret": rpc.wrap_rpc_secret("s")}))["secret"])


def test_an_unknown_function_is_named(engine: ResourceProviderStub) -> None:
    """With those that there are."""
    with pytest.raises(grpc.RpcError, match="unknown function keyturn:index:get; known: keyturn:index:getModelAccess"):
        engine.Invoke(wires.InvokeRequest(tok="keyturn:index:get"))


@pytest.mark.parametrize(
    ("name", "token", "login"), [("default_0_1_0", "env", "env"), ("", "env", "env"), ("theirs", "own", None)]
)
def test_a_declared_provider_uses_its_own_credentials(
    engine: ResourceProviderStub, monkeypatch: pytest.MonkeyPatch, name: str, token: str, login: str | None
) -> None:
    """Two of them can so have two teams. The one that the engine makes by itself takes the environment's first."""
    monkeypatch.setattr(session, "_config", {})
    monkeypatch.setattr(session, "_own", {})
    for variable in ("DIGITALOCEAN_TOKEN", "VAULT_TOKEN", "KEYTURN_POLICY"):
        monkeypatch.setenv(variable, "env")
    given = struct({"digitaloceanToken": "own", "vaultRoleId": "role", "policy": "own"})
    engine.Configure(wires.ConfigureRequest(args=given, name=name))
    found = session.environment()
    assert (found["DIGITALOCEAN_TOKEN"], found.get("VAULT_TOKEN")) == (token, login)
    assert (found["VAULT_ROLE_ID"], found["KEYTURN_POLICY"]) == ("role", "env")


def test_a_look_up_may_say_where_the_records_are(engine: ResourceProviderStub, monkeypatch: pytest.MonkeyPatch) -> None:
    """By its own places, or by those of the configuration."""
    seen: list[Mapping[str, object]] = []

    def found(
        name: str, props: Mapping[str, object], identity: str
    ) -> tuple[str, dict[str, object], dict[str, object]]:
        seen.append(props)
        return name, {"uuid": "u"}, {}

    monkeypatch.setattr(imports, "found", found)
    for given in ({}, PLACES):
        answer = engine.Read(wires.ReadRequest(id="shop.dev.bot", urn=URN, properties=struct(given)))
        assert (answer.id, values(answer.properties)) == ("shop.dev.bot", {"uuid": "u"})
    assert seen == [{}, PLACES]
