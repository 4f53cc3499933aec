"""The secrets of one account and region: read, compare-and-set by staging labels, create, list.

A write is three calls. PutSecretValue makes a version that has only our own label. UpdateSecretVersionStage moves
AWSCURRENT to it from exactly the version that was read, and fails if AWSCURRENT has moved. A last call removes our
label. Only the second call changes what consumers read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import uuid4

from botocore.exceptions import ClientError

from keyturn.core.errors import KeyturnError, TargetError, TargetMisfit
from keyturn.targets.aws_login import Login
from keyturn.targets.aws_words import THROTTLED, code_of, in_words, scheduled
from keyturn.targets.base import Guard, tries
from keyturn.targets.servers import Action

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient
    from mypy_boto3_secretsmanager.type_defs import CreateSecretRequestTypeDef

CURRENT = "AWSCURRENT"
PENDING = "KEYTURN_PENDING"
"""Our label: a version has it after it was created and before it becomes current."""

LARGEST = 65_536
"""Bytes of a secret value (API reference of PutSecretValue)."""

PAGE = 100
MOST_PAGES = 100

SLOWER = 0.2
"""Seconds until a call is sent again that AWS did not take because there were too many; doubled each time."""

NOT_FOUND = "ResourceNotFoundException"
EXISTS = "ResourceExistsException"
ELSEWHERE = ("InvalidParameterException", NOT_FOUND)
"""The error of UpdateSecretVersionStage if the label is not on the version that was named."""

Answer = Mapping[str, object]
Ask = Callable[["SecretsManagerClient"], Mapping[str, object]]


@dataclass(frozen=True, slots=True)
class Entry:
    """A secret at its current version. Without a version, `text` is None and `version` empty; see `exists`."""

    text: str | None
    version: str
    exists: bool


class Store:
    """One account and region."""

    def __init__(self, login: Login, name: str, request: float, kms_key: str) -> None:
        """Keep the login. Nothing is sent yet."""
        self._login = login
        self._name = name
        self._request = request
        self._kms_key = kms_key

    def where(self, path: str) -> str:
        """Return the location for messages."""
        return f"target {self._name}, {path}"

    def read(self, path: str) -> Entry:
        """Read the current version."""
        found = self._ask(
            self._action("read", path, "GetSecretValue"),
            lambda client: _with(client.get_secret_value(SecretId=path, VersionStage=CURRENT), "VersionId"),
            NOT_FOUND,
        )
        if not isinstance(found, str):
            return Entry(self._text(found, path), str(found["VersionId"]), exists=True)
        # AWS gives the same answer for a missing secret and for one that never had a value.
        about = self._ask(
            self._action("describe", path, "DescribeSecret"),
            lambda client: client.describe_secret(SecretId=path),
            NOT_FOUND,
        )
        if isinstance(about, str):
            return Entry(None, "", exists=False)
        if about.get("DeletedDate"):
            raise scheduled(self.where(path))
        return Entry(None, "", exists=True)

    def read_version(self, path: str, version: str) -> str | None:
        """Read an earlier version. Return None if there is no such version."""
        found = self._ask(
            self._action("read", path, "GetSecretValue"),
            lambda client: client.get_secret_value(SecretId=path, VersionId=version),
            NOT_FOUND,
        )
        return None if isinstance(found, str) else self._text(found, path)

    def create(self, path: str, text: str, guard: Guard) -> str | None:
        """Create a secret with its first value. Return None if one of that name exists."""
        self._check_size(path, text)
        secret: CreateSecretRequestTypeDef = {
            "Name": path,
            "SecretString": text,
            "ClientRequestToken": str(uuid4()),
            "Description": "Written by keyturn.",
        }
        if self._kms_key:
            secret["KmsKeyId"] = self._kms_key
        found = self._ask(
            self._action("create", path, "CreateSecret", decides=True),
            lambda client: _with(client.create_secret(**secret), "VersionId"),
            EXISTS,
            guard=guard,
        )
        return None if isinstance(found, str) else str(found["VersionId"])

    def replace(self, path: str, text: str, version: str, guard: Guard) -> str | None:
        """Replace exactly `version` (empty: no version) by `text`. Return None if another version is current."""
        self._check_size(path, text)
        fresh = str(uuid4())
        # The first version of a secret becomes current immediately, regardless of its label.
        self._ask(
            self._action("write", path, "PutSecretValue", decides=not version),
            lambda client: client.put_secret_value(
                SecretId=path, SecretString=text, ClientRequestToken=fresh, VersionStages=[PENDING]
            ),
            guard=guard,
        )
        here = {"RemoveFromVersionId": version} if version else {}
        moved = self._ask(
            self._action("write", path, "UpdateSecretVersionStage", decides=True),
            lambda client: client.update_secret_version_stage(
                SecretId=path, VersionStage=CURRENT, MoveToVersionId=fresh, **here
            ),
            *ELSEWHERE,
            guard=guard,
        )
        landed = not isinstance(moved, str) or self.read(path).version == fresh
        self._drop_label(path, fresh)
        return fresh if landed else None

    def list(self, prefix: str) -> tuple[str, ...]:
        """Return the names directly below a prefix, including secrets scheduled for deletion."""
        names: set[str] = set()
        more: dict[str, str] = {}
        for _ in range(MOST_PAGES):
            page = self._ask(
                self._action("list", prefix, "ListSecrets"),
                lambda client, more=more: _with(  # type: ignore[misc]
                    client.list_secrets(
                        Filters=[{"Key": "name", "Values": [f"{prefix}/"]}],
                        IncludePlannedDeletion=True,
                        MaxResults=PAGE,
                        **more,
                    ),
                    "SecretList",
                ),
            )
            assert not isinstance(page, str)  # noqa: S101  (for the type checker: no code was tolerated)
            found = page["SecretList"]
            if isinstance(found, list):
                names |= {str(secret.get("Name", "")) for secret in found}
            if not page.get("NextToken"):
                below = (name.removeprefix(f"{prefix}/") for name in names if name.startswith(f"{prefix}/"))
                return tuple(sorted(name for name in below if "/" not in name))
            before, more = more, {"NextToken": str(page["NextToken"])}
            if more == before:
                raise TargetMisfit("the list of secrets has no end", where=self.where(prefix))
        raise TargetMisfit(
            "the list of secrets is too long", where=self.where(prefix), evidence=f"more than {MOST_PAGES} pages"
        )

    def close(self) -> None:
        """Close the connections."""
        self._login.close()

    def _drop_label(self, path: str, version: str) -> None:
        """Remove our label, so that AWS can prune the version later. Nothing depends on it."""
        try:
            self._ask(
                self._action("clean up", path, "UpdateSecretVersionStage"),
                lambda client: client.update_secret_version_stage(
                    SecretId=path, VersionStage=PENDING, RemoveFromVersionId=version
                ),
                *ELSEWHERE,
            )
        except TargetError:
            return

    def _text(self, found: Answer, path: str) -> str:
        text = found.get("SecretString")
        if not isinstance(text, str):
            raise TargetMisfit(
                "this secret is binary",
                where=self.where(path),
                evidence="it has a SecretBinary and no SecretString",
                remedy="Use another secret.",
            )
        return text

    def _check_size(self, path: str, text: str) -> None:
        size = len(text.encode())
        if size > LARGEST:
            raise TargetMisfit(
                "the value is too large for AWS Secrets Manager",
                where=self.where(path),
                evidence=f"{size} bytes; the limit is {LARGEST}",
            )

    def _action(self, doing: str, path: str, operation: str, *, decides: bool = False) -> Action:
        remedy = f"Allow secretsmanager:{operation} for this secret in the login's policy."
        return Action(self.where(path), f"{doing} this secret", remedy, decides)

    def _ask(self, action: Action, ask: Ask, *tolerated: str, guard: Guard | None = None) -> Answer | str:
        """Send one request, and again if AWS asks to slow down. Return the code of a tolerated error.

        Raise any other error as our own.
        """
        failure: KeyturnError
        try:
            client = self._login.client()
        except KeyturnError:
            raise
        except Exception as error:  # noqa: BLE001  (botocore has no common base for what it cannot read)
            failure = in_words(
                Action(action.where, "assume the role", "Allow sts:AssumeRole for this role in the login's policy."),
                error,
                self._request,
            )
        else:
            for _ in tries(SLOWER):
                if guard:
                    guard()
                try:
                    return ask(client)
                except Exception as error:  # noqa: BLE001  (as above)
                    code = code_of(error) if isinstance(error, ClientError) else ""
                    if code in tolerated:
                        return code
                    failure = in_words(action, error, self._request)
                if code not in THROTTLED:
                    break
        raise failure


def _with(answer: Mapping[str, object], member: str) -> Mapping[str, object]:
    """Return an answer that has this member. Raises KeyError."""
    if answer.get(member) is None:
        raise KeyError(member)
    return answer
