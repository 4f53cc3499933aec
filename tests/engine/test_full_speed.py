"""What the full provider leaves out so that an up at rest is fast, and what it must not leave out for that."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

import pytest
from google.protobuf.struct_pb2 import Struct
from pulumi.output import UNKNOWN, Unknown
from pulumi.runtime import rpc
from pulumi.runtime.proto import provider_pb2 as wires

from keyturn.core.model import Desired
from keyturn_provider import inputs, session
from keyturn_provider.plugin import wire, words
from keyturn_provider.plugin.servicer import Provider
from keyturn_provider.session import Uniqueness

URN = f"urn:pulumi:dev::shop::{words.KEY}::bot"
ADDRESS = "https://vault.example.com:8200"
NEWS: dict[str, object] = {
    "targets": {"vault": {"type": "vault", "address": ADDRESS, "mount": "secret"}},
    "deliver": [{"target": "vault", "path": "apps/bot", "field": "KEY"}],
    "smoke": {"model": "m"},
    "key": "shop.dev.bot",
}
OUTPUTS = {**NEWS, "owner": words.place(URN).owner, "health": "healthy", "generation": 1}
AT_REST = f"""
import sys
from keyturn_provider.plugin.main import Later, load_protocol
sys.meta_path.insert(0, Later)
load_protocol()
import keyturn_provider.plugin.serve
from google.protobuf.struct_pb2 import Struct
from keyturn_provider.plugin import wire
from keyturn_provider.plugin.servicer import Provider
from pulumi.runtime.proto import provider_pb2 as wires
provider, news, olds = Provider(), wire.packed({NEWS!r}), wire.packed({OUTPUTS!r})
assert b"ModelAccessKey" in provider.GetSchema(wires.GetSchemaRequest(), None).SerializeToString()
provider.Configure(wires.ConfigureRequest(), None)
assert not provider.Check(wires.CheckRequest(urn={URN!r}, olds=news, news=news), None).failures
diff = provider.Diff(wires.DiffRequest(urn={URN!r}, olds=olds, news=news), None)
assert diff.changes == wires.DiffResponse.DIFF_NONE
heavy = ("keyturn.manifest", "keyturn.core.model", "keyturn.live", "httpx", "pydantic", "dill", "yaml", "pulumi")
sys.exit(", ".join(name for name in heavy if name in sys.modules) or None)
"""


@pytest.fixture
def provider(monkeypatch: pytest.MonkeyPatch) -> Provider:
    """A provider that has seen no program yet."""
    monkeypatch.setattr(session, "uniqueness", Uniqueness())
    monkeypatch.setenv("VAULT_ADDR", ADDRESS)
    return Provider()


def checked(provider: Provider, olds: dict[str, object], news: dict[str, object]) -> list[str]:
    """Return the mistakes that a check finds."""
    request = wires.CheckRequest(urn=URN, olds=wire.packed(olds), news=wire.packed(news))
    return [failure.reason for failure in provider.Check(request, None).failures]


def ends_well(program: str) -> None:
    """Run a program in a process of its own, which must not fail."""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr


def test_a_stack_at_rest_needs_nothing_of_the_product() -> None:
    """The schema, a check and a diff of a key at rest import no part of keyturn that takes long."""
    ends_well(AT_REST)


def test_what_is_put_off_is_there_when_it_is_used() -> None:
    """The modules of the library that are loaded later are whole once they are used."""
    program = (
        "import sys\nfrom keyturn_provider.plugin.main import Later\nsys.meta_path.insert(0, Later)\nimport pulumi\n"
        "assert 'dill' not in sys.modules\nassert pulumi.dynamic.ResourceProvider and pulumi.automation.LocalWorkspace"
    )
    ends_well(program)


def test_the_library_is_whole_after_its_protocol() -> None:
    """Who imports the library after its protocol gets all of it, and the protocol is loaded once."""
    program = (
        "import sys\nfrom keyturn_provider.plugin.main import Later, load_protocol\nsys.meta_path.insert(0, Later)\n"
        "load_protocol()\nassert not {'pulumi', 'asyncio', 'grpc.aio'} & sys.modules.keys()\n"
        "protocol = sys.modules['pulumi.runtime.proto']\nimport pulumi.runtime.rpc\n"
        "assert pulumi.runtime.proto is protocol and pulumi.Output and pulumi.runtime.Settings and pulumi.log.info\n"
        "assert pulumi.dynamic.ResourceProvider and sys.modules['pulumi.runtime'] is pulumi.runtime\n"
        "from grpc import aio\nimport asyncio\nimport grpc\nassert aio.server and grpc.aio is aio and asyncio.run"
    )
    ends_well(program)


def test_a_protocol_that_needs_the_library_is_imported_with_it() -> None:
    """A library whose protocol cannot be imported alone only takes longer."""
    program = (
        "import sys\nfrom keyturn_provider.plugin import main\nsys.meta_path.insert(0, main.Later)\n"
        "def refuse(name): raise ImportError(name)\nmain.import_module = refuse\nmain.load_protocol()\n"
        "assert not any(name.startswith('pulumi') for name in sys.modules)\nimport keyturn_provider.plugin.serve\n"
        "assert sys.modules['pulumi'].Output and sys.modules['pulumi.runtime'].proto.CheckRequest"
    )
    ends_well(program)


def test_the_marks_of_the_protocol_are_those_of_the_library() -> None:
    """They are written here because the library takes long to import."""
    assert wire.UNKNOWN == rpc.UNKNOWN
    assert rpc.wrap_rpc_secret("").keys() == {wire.SIGNATURE, "value"}


def test_a_read_does_not_need_the_machine() -> None:
    """A refresh changes nothing and tells nobody, so it does not import what decides, what permits and what tells."""
    program = (
        "import sys, keyturn_provider.reads, keyturn.manifest\n"
        "heavy = ('keyturn.core.machine', 'keyturn.manifest.policy', 'keyturn.live.notebook')\n"
        "sys.exit(', '.join(name for name in heavy if name in sys.modules) or None)"
    )
    ends_well(program)


def test_only_inputs_that_no_up_has_accepted_are_checked(provider: Provider) -> None:
    """Unchanged inputs were checked before; every other mistake is found."""
    wrong = {**NEWS, "deliver": [{"target": "vualt", "path": "apps/bot"}]}
    assert checked(provider, {}, wrong)
    assert checked(provider, NEWS, wrong)
    assert not checked(provider, wrong, wrong)


def test_with_a_policy_unchanged_inputs_are_checked(provider: Provider, monkeypatch: pytest.MonkeyPatch) -> None:
    """A policy may have changed since the last up."""
    monkeypatch.setenv(inputs.POLICY, "there-is-none.yaml")
    assert checked(provider, NEWS, NEWS)


def test_another_environment_loads_the_places_anew() -> None:
    """What keys have in common is loaded once for an environment, never for another one."""
    places = {"targets": {"vault": {"type": "vault", "address": "${KEYTURN_VAULT}", "mount": "secret"}}}
    first, second = (f"https://{name}.example.com" for name in ("one", "two"))
    for address in (first, second, first):
        found = inputs.surroundings_of(places, {"VAULT_ADDR": address, "KEYTURN_VAULT": address})
        assert found.targets[0].settings["address"] == address


def test_reads_at_the_same_moment_load_the_places_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine begins with many reads at once, and each would load the same."""
    loads: list[object] = []
    load = inputs._load
    every = threading.Barrier(8, timeout=60)

    def counted(data: Mapping[str, object], environment: Mapping[str, str]) -> Desired:
        loads.append(data)
        time.sleep(0.2)  # the time in which the others come
        return load(data, environment)

    def one(_: int) -> Desired:
        every.wait()
        return inputs.surroundings_of({"targets": NEWS["targets"]}, {"VAULT_ADDR": ADDRESS, "MOMENT": "same"})

    monkeypatch.setattr(inputs, "_load", counted)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(one, range(8)))
    assert len(loads) == 1
    assert all(one is found[0] for one in found)


def test_a_message_is_unpacked_as_the_library_does() -> None:
    """Unpacking is our own because it is faster; it finds the same values."""
    values = Struct()
    values.update(
        {
            "text": "x", "empty": "", "whole": 3, "flag": False, "nothing": None, "unknown": rpc.UNKNOWN,
            "list": [1, "a", None, {"b": [rpc.UNKNOWN]}, rpc.wrap_rpc_secret("s")], "deep": {"a": {"b": None, "c": []}},
            "secret": rpc.wrap_rpc_secret({"a": [1]}), "inside": {"a": {"b": rpc.wrap_rpc_secret("t")}},
        }
    )  # fmt: skip
    theirs = {
        name: rpc.unwrap_rpc_secret(value)
        for name, value in rpc.deserialize_properties(values, keep_unknowns=True).items()
    }
    assert _shown(wire.unpacked(values)) == _shown(theirs)
    assert isinstance(wire.unpacked(values)["unknown"], Unknown)


def _shown(value: object) -> object:
    """Return a value with a word for each unknown one, which are never equal."""
    if isinstance(value, dict):
        return {name: _shown(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_shown(item) for item in value]
    return "unknown" if isinstance(value, type(UNKNOWN)) else value
