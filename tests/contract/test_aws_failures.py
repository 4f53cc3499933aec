"""What AWS Secrets Manager can answer, each told apart; and what is known of a write whose answer is lost."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from itertools import count
from uuid import uuid4

import pytest

from keyturn.core.errors import CredentialError, InputError, KeyturnError, TargetError, TargetMisfit, TargetUnavailable
from keyturn.core.errors import TargetForbidden as Forbidden
from keyturn.core.secret import Secret
from keyturn.targets import aws_store
from keyturn.targets.aws import AwsTarget
from keyturn.targets.base import TRIES, TargetContext
from tests.contract.place_aws import AwsPlace
from tests.contract.test_documents import free
from tests.support.moto import Moto
from tests.support.raw_http import RawServer

FIELD = "KEY"
OLD, NEW = Secret("sk-do-old"), Secret("sk-do-new")
KEYS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_REGION": "eu-central-1"}


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aws_store, "SLOWER", 0.001)


@pytest.fixture
def place(moto: Moto) -> Iterator[AwsPlace]:
    """A place on the shared server."""
    found = AwsPlace(moto)
    yield found
    found.close()


def answer(code: str, text: str = "", status: int = 400) -> bytes:
    """Return an answer as the service words its errors."""
    body = json.dumps({"__type": code, "message": text})
    return (
        f"HTTP/1.1 {status} X\r\nContent-Type: application/x-amz-json-1.1\r\nContent-Length: {len(body)}\r\n"
        f"Connection: close\r\n\r\n{body}"
    ).encode()


def found(text: str = '{"KEY": "sk-do-old"}') -> bytes:
    """Return an answer to GetSecretValue."""
    body = json.dumps({"SecretString": text, "VersionId": "v" * 32, "VersionStages": ["AWSCURRENT"]})
    return f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n{body}".encode()


def done() -> bytes:
    """Return an answer that says no more than that it is done."""
    return b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}"


def asked(server: RawServer) -> str:
    """Return what the last request asks for."""
    head = server.requests[-1].decode(errors="replace")
    return head.partition("secretsmanager.")[2].partition("\r\n")[0]


def against(address: str, request: float = 2) -> AwsTarget:
    """Return a target on a server that listens here."""
    return AwsTarget(
        TargetContext(name="aws", settings={}, environment=KEYS | {"AWS_ENDPOINT_URL": address}, request=request)
    )


Script = Callable[[str], bytes | None]


@pytest.fixture
def serve() -> Iterator[Callable[[Script], tuple[AwsTarget, RawServer]]]:
    """Answer each operation by its name; None breaks the connection."""
    servers: list[RawServer] = []

    def start(script: Script) -> tuple[AwsTarget, RawServer]:
        def speak(connection: socket.socket) -> None:
            said = script(asked(server))
            if said is not None:
                connection.sendall(said)

        server = RawServer(speak)
        server.__enter__()
        servers.append(server)
        return against(server.url), server

    yield start
    for server in servers:
        server.__exit__(None, None, None)


Serve = Callable[[Script], tuple[AwsTarget, RawServer]]


@pytest.mark.parametrize(
    ("code", "text", "kind", "words"),
    [
        ("AccessDeniedException", "User: x is not authorized", Forbidden, "secretsmanager:GetSecretValue"),
        ("AccessDeniedException", "Access to KMS is not allowed", Forbidden, "kms:Decrypt"),
        ("DecryptionFailure", "", Forbidden, "kms:Decrypt"),
        ("UnrecognizedClientException", "", CredentialError, "refuses these credentials"),
        ("ExpiredTokenException", "", CredentialError, "refuses these credentials"),
        ("InvalidSignatureException", "Signature expired", CredentialError, "clock"),
        ("ThrottlingException", "Rate exceeded", TargetUnavailable, "slow down"),
        ("InvalidRequestException", "it was marked for deletion", TargetMisfit, "restore-secret"),
        ("InvalidRequestException", "not on a replica secret", TargetMisfit, "primary"),
        ("InvalidRequestException", "anything else", TargetMisfit, "AWS refuses it"),
        ("<script>", "", TargetMisfit, "status 400"),
    ],
)
def test_each_refusal_is_told_apart(serve: Serve, code: str, text: str, kind: type[KeyturnError], words: str) -> None:
    """By its code and known phrases, in a sentence that says what to do; its text is not repeated."""
    target, _ = serve(lambda operation: answer(code, f"{text} sk-do-leaked"))
    with pytest.raises(kind, match=words) as caught:
        target.read("a", FIELD)
    assert "leaked" not in str(caught.value)
    assert "<" not in str(caught.value)
    target.close()


def test_each_call_is_sent_once(serve: Serve) -> None:
    """The retries of boto are off: when to try again is keyturn's decision."""
    target, server = serve(lambda operation: answer("InternalServiceError", status=500))
    with pytest.raises(TargetUnavailable, match="internal error"):
        target.read("a", FIELD)
    assert len(server.requests) == 1
    target.close()


@pytest.mark.parametrize(("operation", "ambiguous"), [("PutSecretValue", False), ("UpdateSecretVersionStage", True)])
@pytest.mark.parametrize("fault", [None, answer("InternalServiceError", status=500)], ids=["broken", "500"])
def test_only_moving_the_label_leaves_a_write_unknown(
    serve: Serve, operation: str, fault: bytes | None, *, ambiguous: bool
) -> None:
    """A version that bears only our label is read by nobody, so its fate does not matter."""
    target, _ = serve(lambda asked: fault if asked == operation else found() if asked == "GetSecretValue" else done())
    with pytest.raises(TargetUnavailable) as caught:
        target.write("a", FIELD, NEW, OLD, free)
    assert caught.value.ambiguous is ambiguous
    target.close()


@pytest.mark.parametrize("code", ["ThrottlingException", "AccessDeniedException", "LimitExceededException"])
def test_a_refused_write_is_definite(serve: Serve, code: str) -> None:
    """Nothing happened, and nothing will."""
    target, _ = serve(lambda asked: found() if asked == "GetSecretValue" else answer(code))
    with pytest.raises(TargetError) as caught:
        target.write("a", FIELD, NEW, OLD, free)
    assert not caught.value.ambiguous
    target.close()


def test_a_call_that_aws_did_not_take_is_sent_again(serve: Serve) -> None:
    """Many keys at once are more than AWS takes in a second: the lease is asked before each try."""
    refused, guarded = count(), count()

    def script(asked: str) -> bytes:
        if next(refused) % 3:
            return answer("ThrottlingException")
        return found() if asked == "GetSecretValue" else done()

    target, server = serve(script)
    assert target.write("a", FIELD, NEW, OLD, lambda: (next(guarded), None)[1])
    sent = len(server.requests)
    assert sent == next(refused) == 10
    assert next(guarded) == 6, "one write and one move of the label, each sent three times"
    target.close()


def test_a_create_without_an_answer_is_unknown(serve: Serve) -> None:
    """It makes its value current at once."""
    script = {"CreateSecret": None}
    target, _ = serve(lambda asked: script.get(asked, answer("ResourceNotFoundException")))
    with pytest.raises(TargetUnavailable) as caught:
        target.write_document("a", "{}", "0", free)
    assert caught.value.ambiguous
    target.close()


def test_a_label_that_cannot_be_dropped_harms_nothing(serve: Serve) -> None:
    """The write is done; our label goes with the next one."""
    moves: list[str] = []

    def script(asked: str) -> bytes | None:
        if asked == "UpdateSecretVersionStage":
            moves.append(asked)
            return done() if len(moves) == 1 else answer("ThrottlingException")
        return found() if asked == "GetSecretValue" else done()

    target, _ = serve(script)
    assert target.write("a", FIELD, NEW, OLD, free)
    assert len(moves) == 1 + TRIES
    target.close()


def test_no_connection_is_definite() -> None:
    """Nothing listens: nothing was sent."""
    with socket.socket() as free_port:
        free_port.bind(("127.0.0.1", 0))
        target = against(f"http://127.0.0.1:{free_port.getsockname()[1]}")
        with pytest.raises(TargetUnavailable, match="could not connect") as caught:
            target.write_document("a", "{}", "0", free)
        assert not caught.value.ambiguous
        target.close()


def test_a_server_that_does_not_answer_is_given_up(serve: Serve) -> None:
    """Within the deadline of a request."""
    with socket.socket() as mute:
        mute.bind(("127.0.0.1", 0))
        mute.listen()
        target = against(f"http://127.0.0.1:{mute.getsockname()[1]}", request=0.6)
        with pytest.raises(TargetUnavailable, match=r"within 0\.6 s"):
            target.read("a", FIELD)
        target.close()


def test_a_secret_scheduled_for_deletion_is_neither_read_nor_written(place: AwsPlace) -> None:
    """It is not taken for an absent one; the remedy brings it back."""
    path = place.path()
    place.seed(path, {FIELD: OLD.reveal()})
    place.lose(path)
    target = place.target()
    for use in (
        lambda: target.read(path, FIELD),
        lambda: target.preflight(path, FIELD),
        lambda: target.write(path, FIELD, NEW, OLD, free),
    ):
        with pytest.raises(TargetMisfit, match="restore-secret"):
            use()


def test_a_binary_secret_is_not_touched(place: AwsPlace) -> None:
    """There is no text in it that a field could be merged into."""
    path = place.path()
    place.client.create_secret(Name=path, SecretBinary=b"\x00\x01")
    for use in (place.target().read, place.target().preflight):
        with pytest.raises(TargetMisfit, match="binary"):
            use(path, FIELD)


@pytest.mark.parametrize("text", ["a bare password", "[1]", '"text"', '{"a": 1', '{"a": 1, "a": 2}'])
def test_a_field_needs_a_json_object(place: AwsPlace, text: str) -> None:
    """A secret that is one bare value is not turned into an object; its text is not shown."""
    path = place.path()
    place.client.create_secret(Name=path, SecretString=text)
    with pytest.raises(TargetMisfit, match="cannot hold the field") as caught:
        place.target().write(path, FIELD, NEW, None, free)
    assert "password" not in str(caught.value)


def test_the_whole_value_is_replaced_and_taken_out(place: AwsPlace) -> None:
    """A secret that is one bare value; AWS keeps no empty text, so an empty object stands for nothing."""
    path, target = place.path(), place.target()
    place.client.create_secret(Name=path, SecretString=OLD.reveal())
    assert target.read(path, "").secret == OLD
    target.write(path, "", NEW, OLD, free)
    assert target.read(path, "").secret == NEW
    target.remove(path, "", NEW, free)
    assert target.read(path, "").secret is None
    target.write(path, "", OLD, None, free)
    assert target.read(path, "").secret == OLD


def test_an_absent_secret_is_created_only_if_allowed(moto: Moto, place: AwsPlace) -> None:
    """Preflight says so before any mint; one that was made without a value is filled."""
    path = place.path()
    target = AwsTarget(TargetContext(name="aws", settings={}, environment=moto.environment, request=10))
    for use in (lambda: target.preflight(path, FIELD), lambda: target.write(path, FIELD, NEW, None, free)):
        with pytest.raises(TargetMisfit, match="create: true"):
            use()
    assert place.fields(path) is None
    place.client.create_secret(Name=path)
    target.preflight(path, FIELD)
    assert place.fields(path) is None
    version = target.write(path, FIELD, NEW, None, free)
    assert place.fields(path) == {FIELD: NEW.reveal()}
    assert target.read(path, FIELD).version == version
    target.close()


def test_what_keyturn_creates_has_the_key_of_the_settings(moto: Moto, place: AwsPlace) -> None:
    """The KMS key is that of the settings, and our label is gone in the end."""
    path = place.path()
    settings = {"create": True, "kms_key": "alias/keyturn"}
    target = AwsTarget(TargetContext(name="aws", settings=settings, environment=moto.environment, request=10))
    target.write(path, FIELD, OLD, None, free)
    target.write(path, FIELD, NEW, OLD, free)
    about = place.client.describe_secret(SecretId=path)
    assert about["KmsKeyId"] == "alias/keyturn"
    assert sorted(stage for stages in about["VersionIdsToStages"].values() for stage in stages) == [
        "AWSCURRENT",
        "AWSPREVIOUS",
    ]
    target.close()


def test_a_value_beyond_64_kilobytes_is_refused_before_it_is_sent(place: AwsPlace) -> None:
    """AWS would refuse it."""
    target, path = place.target(), place.path()
    with pytest.raises(TargetMisfit, match="65536"):
        target.write(path, FIELD, Secret("x" * 65_536), None, lambda: pytest.fail("sent"))
    assert place.fields(path) is None


def test_a_long_list_is_read_to_its_end(place: AwsPlace) -> None:
    """More documents than one page shows."""
    prefix, target = f"records-{uuid4().hex}", place.target()
    names = [f"{number:03}" for number in range(120)]
    for name in names:
        place.client.create_secret(Name=f"{prefix}/{name}", SecretString="{}")
    place.client.create_secret(Name=f"{prefix}-other/x", SecretString="{}")
    assert target.list_documents(prefix) == tuple(names)


def test_a_role_is_assumed_first(moto: Moto, place: AwsPlace) -> None:
    """With the person's credential, at the endpoint of STS; what follows is asked with the role's."""
    settings = {"role": "arn:aws:iam::123456789012:role/keyturn", "create": True}
    target = AwsTarget(TargetContext(name="aws", settings=settings, environment=moto.environment, request=10))
    path = place.path()
    target.write(path, FIELD, NEW, None, free)
    assert place.fields(path) == {FIELD: NEW.reveal()}
    target.close()


@pytest.mark.parametrize(
    ("environment", "settings", "kind", "match"),
    [
        ({"AWS_ACCESS_KEY_ID": ""}, {}, CredentialError, "no AWS credentials found"),
        ({"AWS_SECRET_ACCESS_KEY": ""}, {}, CredentialError, "AWS_SECRET_ACCESS_KEY is not"),
        ({"AWS_REGION": ""}, {}, InputError, "no AWS region found"),
        ({}, {"profile": "nobody"}, CredentialError, "ProfileNotFound"),
    ],
)
def test_what_is_missing_is_named(
    moto: Moto,
    monkeypatch: pytest.MonkeyPatch,
    environment: dict[str, str],
    settings: dict[str, object],
    kind: type[KeyturnError],
    match: str,
) -> None:
    """A credential, half of one, a region, a profile."""
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    target = AwsTarget(
        TargetContext(name="aws", settings=settings, environment=moto.environment | environment, request=5)
    )
    with pytest.raises(kind, match=match):
        target.read("a", FIELD)
    target.close()
