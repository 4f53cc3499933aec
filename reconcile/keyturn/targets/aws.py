"""AWS Secrets Manager: one field of a secret that is a JSON object, or a whole secret.

boto3 is imported when the first target is opened. The settings can be checked without it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from pydantic import BaseModel, Field

from keyturn.core.errors import Conflict, InputError, TargetMisfit
from keyturn.core.origins import check_transport, origin_of, parse_origin
from keyturn.core.secret import Secret
from keyturn.targets.base import (
    Capabilities,
    Document,
    Guard,
    TargetContext,
    Value,
    check_origins,
    check_path,
    merge,
    parse_settings,
    secret_of,
    unguarded,
)
from keyturn.targets.documents import refuse_document, refuse_null
from keyturn.targets.json_text import changed, members
from keyturn.targets.origins import NoConsent, bare_origin, origin_mistakes
from keyturn.targets.places import Items, TargetSettings, flat, normal_origin

if TYPE_CHECKING:
    from keyturn.targets.aws_store import Entry

OWN = re.compile(r"(vpce-[a-z0-9-]+\.)?secretsmanager(-fips)?\.[a-z0-9-]+\.(vpce\.)?(amazonaws\.com(\.cn)?|api\.aws)")
"""Hosts of the service itself, including FIPS and private endpoints. Anyone can own other hosts in amazonaws.com."""

ENDPOINT = ("AWS_ENDPOINT_URL_SECRETS_MANAGER", "AWS_ENDPOINT_URL")
STS_ENDPOINT = ("AWS_ENDPOINT_URL_STS", "AWS_ENDPOINT_URL")
"""Environment variables that name an endpoint. The first one that is set is used."""

VERSION = re.compile(r"[A-Za-z0-9-]{32,64}")
NEVER = "0"
"""The version of a document that was never written."""

NOTHING = "{}"
"""The value of a secret after its last field was removed: AWS does not store an empty string."""


class AwsSettings(TargetSettings):
    """Settings of AWS Secrets Manager."""

    region: str = Field(
        default="",
        pattern=r"^([a-z]{2,}(-[a-z0-9]+)+)?$",
        description="AWS region. Default: AWS_REGION, or the profile's.",
    )
    profile: str = Field(default="", description="Profile in the AWS configuration. Default: AWS_PROFILE.")
    role: str = Field(
        default="",
        pattern=r"^(arn:aws[a-z-]*:iam::\d{12}:role/[\w+=,.@/-]+)?$",
        description="ARN of a role to assume.",
    )
    endpoint: str = Field(
        default="", description="Endpoint to use instead of AWS's own: private, FIPS, or a test server."
    )
    create: bool = Field(default=False, description="Create the secret of a delivery if it does not exist.")
    kms_key: str = Field(default="", description="KMS key for secrets that keyturn creates. Default: AWS's own.")

    def place(self, base: Path) -> Items:
        """Return all settings, with the endpoint as an origin."""
        del base
        return flat(self.model_dump() | {"endpoint": normal_origin(self.endpoint)})

    def store(self, base: Path) -> Items:
        """Return what decides the account and the region. All endpoints of AWS's own lead to the same store."""
        del base
        endpoint = "" if _is_own(self.endpoint) else normal_origin(self.endpoint)
        return flat({"region": self.region, "profile": self.profile, "role": self.role, "endpoint": endpoint})


class AwsTarget:
    """One account and region of AWS Secrets Manager."""

    kind: ClassVar[str] = "aws-secrets-manager"
    capabilities: ClassVar[Capabilities] = Capabilities(
        compare_and_set=True, versions=True, documents=True, unique_versions=True
    )
    settings_model: ClassVar[type[BaseModel]] = AwsSettings

    @classmethod
    def origin_mistakes(cls, settings: AwsSettings, environment: Mapping[str, str]) -> Iterator[InputError]:
        """Yield mistakes unless an endpoint is AWS's own or the one in AWS_ENDPOINT_URL, which is checked too."""
        if settings.endpoint and not _is_own(settings.endpoint):
            yield from origin_mistakes("endpoint", settings.endpoint, ENDPOINT, environment, "aws")
        asked = {*STS_ENDPOINT, *(() if settings.endpoint else ENDPOINT)}
        for variable in sorted(name for name in asked if environment.get(name)):
            try:
                check_transport(parse_origin(environment[variable]))
            except InputError as error:
                yield NoConsent(error.what, where="endpoint", evidence=f"the variable {variable}", remedy=error.remedy)

    def __init__(self, context: TargetContext) -> None:
        """Check the settings and the endpoint."""
        settings = parse_settings(AwsSettings, context)
        check_origins(self.origin_mistakes(settings, context.environment), context)
        # Import the vendor's library only now: opening a target is the first use of AWS.
        from keyturn.targets.aws_login import Account, Login
        from keyturn.targets.aws_store import Store

        account = Account(
            where=f"target {context.name}",
            region=settings.region,
            profile=settings.profile,
            role=settings.role,
            endpoint=origin_of(settings.endpoint) if settings.endpoint else _endpoint(ENDPOINT, context.environment),
            sts_endpoint=_endpoint(STS_ENDPOINT, context.environment),
            request=context.request,
        )
        self._create = settings.create
        self._store = Store(Login(account, context.environment), context.name, context.request, settings.kms_key)

    def read(self, path: str, field: str) -> Value:
        """Read a field, or the whole value."""
        entry = self._store.read(check_path(path))
        return Value(self._held(entry.text, path, field), entry.version)

    def read_version(self, path: str, field: str, version: str) -> Secret | None:
        """Read an earlier version by its id. Return None if AWS has pruned it."""
        check_path(path)
        text = self._store.read_version(path, version) if VERSION.fullmatch(version) else None
        return self._held(text, path, field)

    def write(self, path: str, field: str, secret: Secret, expected: Secret | None, guard: Guard) -> str:
        """Merge our field into the current value, on exactly the version that was read."""
        return self._change(path, field, secret, expected, guard)

    def remove(self, path: str, field: str, expected: Secret, guard: Guard) -> None:
        """Write the other fields without ours. The secret itself stays, because a delete has no compare-and-set."""
        self._change(path, field, None, expected, guard)

    def preflight(self, path: str, field: str) -> None:
        """Rewrite the current value. The permission to create cannot be tested without creating a secret."""
        entry = self._store.read(check_path(path))
        self._held(entry.text, path, field)
        if not entry.exists:
            self._check_may_create(path)
        elif entry.text is not None:
            self._store.replace(path, entry.text, entry.version, unguarded)

    def read_document(self, path: str) -> Document:
        """Read a document. A document that is scheduled for deletion is an error."""
        entry = self._store.read(check_path(path))
        if entry.exists and entry.text is None:
            raise TargetMisfit(
                "this is not a keyturn document", where=self._store.where(path), evidence="it has no value"
            )
        return Document(entry.text, entry.version or NEVER)

    def write_document(self, path: str, text: str, version: str, guard: Guard) -> str:
        """Write a document over exactly `version`."""
        check_path(path)
        if version == NEVER:
            written = self._store.create(path, text, guard)
        elif VERSION.fullmatch(version):
            written = self._store.replace(path, text, version, guard)
        else:
            written = None
        if written is None:
            raise Conflict(
                "the document was modified concurrently",
                where=self._store.where(path),
                evidence=f"it is no longer at version {version}",
            )
        return written

    def list_documents(self, prefix: str) -> tuple[str, ...]:
        """List the documents, including those scheduled for deletion."""
        return self._store.list(check_path(prefix))

    def check_documents(self, prefix: str) -> None:
        """Check that listing is permitted. AWS does not delete secrets on its own."""
        self._store.list(check_path(prefix))

    def close(self) -> None:
        """Close the connections."""
        self._store.close()

    def _change(self, path: str, field: str, secret: Secret | None, expected: Secret | None, guard: Guard) -> str:
        """Set our field, or remove it if `secret` is None. Return the new version."""
        check_path(path)

        def read() -> tuple[Value, Entry]:
            entry = self._store.read(path)
            return Value(self._held(entry.text, path, field), entry.version), entry

        def write_over(entry: Entry) -> str | None:
            return self._write(path, entry, _merged(entry.text, field, secret), guard)

        return merge(read, write_over, field=field, secret=secret, expected=expected, where=self._store.where(path))

    def _write(self, path: str, entry: Entry, text: str, guard: Guard) -> str | None:
        if entry.exists:
            return self._store.replace(path, text, entry.version, guard)
        self._check_may_create(path)
        return self._store.create(path, text, guard)

    def _check_may_create(self, path: str) -> None:
        if not self._create:
            raise TargetMisfit(
                "there is no such secret",
                where=self._store.where(path),
                remedy="Create it, even without a value, or set `create: true` for this target.",
            )

    def _held(self, text: str | None, path: str, field: str) -> Secret | None:
        if text is None or text.strip() in {"", NOTHING}:
            return None
        refuse_document(text, self._store.where(path))
        if not field:
            return Secret(text)
        try:
            value = next(({field: member.value} for member in members(text) if member.name == field), {})
        except ValueError as error:
            wrong = str(error)
        else:
            refuse_null(value, field, self._store.where(path))
            return secret_of(value.get(field), field, self._store.where(path))
        raise TargetMisfit(
            f"this secret cannot hold the field {field}",
            where=self._store.where(path),
            evidence=wrong,
            remedy="Omit the field to deliver the whole value, or use another secret.",
        )


def _merged(text: str | None, field: str, secret: Secret | None) -> str:
    if field:
        return changed(text if text and text.strip() else NOTHING, field, secret.reveal() if secret else None)
    return secret.reveal() if secret else NOTHING


def _is_own(address: str) -> bool:
    """Tell whether an address is one of AWS's own. Credentials may go there without further permission."""
    try:
        origin = bare_origin(address)
    except InputError:
        return False
    return origin.scheme == "https" and OWN.fullmatch(origin.host) is not None


def _endpoint(variables: Sequence[str], environment: Mapping[str, str]) -> str:
    """Return the endpoint from the first of these variables that is set. Empty means AWS's own for the region."""
    named = next((environment[name] for name in variables if environment.get(name)), "")
    return origin_of(named) if named else ""
