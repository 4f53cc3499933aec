"""The Secrets of one cluster: read, create, change on exactly the version that was read, list, and dry runs of these.

Facts of the API ("Kubernetes API Concepts", tried on 1.37): a merge patch that names a stale `resourceVersion` is a
409, and one that names none is unconditional. A dry run is judged like the real request and writes nothing. A POST is
refused if `create` is granted for certain names only; a server-side apply to such a name creates the Secret.
"""

from __future__ import annotations

import base64
import binascii
import re
import secrets
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from keyturn.core.errors import TargetForbidden, TargetMisfit, TargetUnavailable
from keyturn.targets.base import Guard
from keyturn.targets.kubernetes_server import APPLY, MERGE, Answer, Request, Server
from keyturn.targets.servers import Action

MANAGER = "keyturn"
"""The field manager that the API server notes (`metadata.managedFields`)."""

NAMES_ONLY = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
PAGE = 500
"""Objects per page of a list, the page size of kubectl."""
PAGES = 200
"""So many pages are read at most: 100,000 records."""
LONGEST = 1000
"""Characters of an annotation that are kept."""

_VERSION = re.compile(r"[1-9][0-9]*")


class _Metadata(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel)
    name: str
    resource_version: str = Field(default="", pattern=r"^[0-9]*$")
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    deletion_timestamp: str | None = None


class _Secret(BaseModel):
    metadata: _Metadata
    data: dict[str, str] = {}
    type: str = ""
    immutable: bool = False


class _Continue(BaseModel):
    model_config = ConfigDict(populate_by_name=True)
    token: str = Field(default="", alias="continue")


class _Partial(BaseModel):
    metadata: _Metadata


class _List(BaseModel):
    metadata: _Continue = _Continue()
    items: list[_Partial] | None = None


Model = TypeVar("Model", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Place:
    """A Secret by its namespace and name."""

    namespace: str
    name: str

    def __str__(self) -> str:
        """Show as `namespace/name`."""
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True)
class Entry:
    """A Secret at one version. `data` is None if there is none; values are bytes.

    `deleted`: it is being deleted, and only finalizers keep it.
    """

    version: str = ""
    data: Mapping[str, bytes] | None = field(default=None, repr=False)
    type: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    immutable: bool = False
    deleted: bool = False

    def texts(self) -> dict[str, object]:
        """Return the fields as texts. What is no UTF-8 stays bytes."""
        return {name: _text(value) for name, value in (self.data or {}).items()}


class Secrets:
    """The Secrets that one login reaches."""

    def __init__(self, server: Server, name: str) -> None:
        """Keep the server. Nothing is sent yet."""
        self._server = server
        self._name = name

    def where(self, place: Place) -> str:
        """Return the location for messages."""
        return f"target {self._name}, secret {place}"

    def read(self, place: Place) -> Entry:
        """Read a Secret."""
        action = self._action("read", place, "get")
        answer = self._server.ask(action, Request("GET", _path(place), {}))
        if answer.status == HTTPStatus.NOT_FOUND:
            return Entry()
        return _entry(answer, action)

    def create(self, place: Place, content: Mapping[str, object], guard: Guard, *, dry: bool = False) -> Entry | None:
        """Create a Secret. Return None if there is one, or if another writer has created one with other content.

        `content` has the parts of the object but its kind and name. A login that may not create in the whole namespace
        creates by server-side apply, under a manager of its own, so that two creators with different values collide.
        """
        action = self._action("create", place, "create", "get", "patch")
        whole = {"apiVersion": "v1", "kind": "Secret", **content}
        whole["metadata"] = {**_mapping(content.get("metadata")), "name": place.name, "namespace": place.namespace}
        params = {"fieldManager": MANAGER, **_dry(dry)}
        folder = f"/api/v1/namespaces/{place.namespace}/secrets"
        answer = self._server.probe(action, Request("POST", folder, params, whole, guard=guard))
        if answer.status == HTTPStatus.FORBIDDEN and "NamespaceTerminating" not in answer.causes():
            if self.read(place).data is not None:  # an apply would merge into one that appeared since the last look
                return None
            params["fieldManager"] = f"{MANAGER}-{secrets.token_hex(4)}"
            answer = self._server.ask(action, Request("PATCH", _path(place), params, whole, APPLY, guard=guard))
        elif answer.status == HTTPStatus.FORBIDDEN:
            raise TargetMisfit("this namespace is being deleted", where=action.where, remedy="Use another namespace.")
        if answer.status == HTTPStatus.CONFLICT:
            return None
        if answer.status == HTTPStatus.NOT_FOUND:
            remedy = f"Create it: kubectl create namespace {place.namespace}."
            raise TargetMisfit(f"there is no namespace {place.namespace}", where=action.where, remedy=remedy)
        return _entry(answer, action, writing=True)

    def change(
        self, place: Place, version: str, content: Mapping[str, object], guard: Guard, *, dry: bool = False
    ) -> Entry | None:
        """Merge `content` into a Secret at exactly `version`. Return None if it is at another version, or gone.

        In `data`, None removes a field.
        """
        if not _VERSION.fullmatch(version):  # without a version the server would merge into any
            return None
        action = self._action("write", place, "get", "patch")
        merged = {**content, "metadata": {**_mapping(content.get("metadata")), "resourceVersion": version}}
        params = {"fieldManager": MANAGER, **_dry(dry)}
        answer = self._server.ask(action, Request("PATCH", _path(place), params, merged, MERGE, guard=guard))
        if answer.status in {HTTPStatus.CONFLICT, HTTPStatus.NOT_FOUND}:
            return None
        return _entry(answer, action, writing=True)

    def list(self, namespace: str, label: str, annotation: str) -> tuple[str, ...]:
        """Return this annotation of the Secrets with this label, empty if one has none. No values are read."""
        action = Action(
            f"target {self._name}, namespace {namespace}",
            f"list the secrets of the namespace {namespace}",
            _rule("list"),
        )
        found: list[str] = []
        params = {"labelSelector": label, "limit": str(PAGE)}
        for _ in range(PAGES):
            request = Request("GET", f"/api/v1/namespaces/{namespace}/secrets", params, accept=NAMES_ONLY)
            page = _parsed(_List, self._server.ask(action, request), action)
            found += [item.metadata.annotations.get(annotation, "")[:LONGEST] for item in page.items or ()]
            if not page.metadata.token:
                return tuple(found)
            if page.metadata.token == params.get("continue") or len(page.items or ()) > PAGE:
                break
            params = {**params, "continue": page.metadata.token}
        raise TargetUnavailable(f"could not {action.doing}: the list does not end", where=action.where)

    def _action(self, verb: str, place: Place, *verbs: str) -> Action:
        return Action(self.where(place), f"{verb} the secret {place}", _rule(*verbs, name=place.name))


def encoded(text: str) -> str:
    """Return a text as the value of a Secret's field."""
    return base64.b64encode(text.encode()).decode()


def _rule(*verbs: str, name: str = "") -> str:
    named = f", resourceNames: [{name}]" if name else ""
    return f'Its Role needs: {{apiGroups: [""], resources: [secrets], verbs: [{", ".join(verbs)}]{named}}}.'


def _path(place: Place) -> str:
    return f"/api/v1/namespaces/{place.namespace}/secrets/{place.name}"


def _dry(dry: bool) -> dict[str, str]:  # noqa: FBT001 - of the callers' own keyword
    return {"dryRun": "All"} if dry else {}


def _mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, Mapping) else {}


def _text(value: bytes) -> object:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value


def _entry(answer: Answer, action: Action, *, writing: bool = False) -> Entry:
    found = _parsed(_Secret, answer, action, writing=writing)
    # binascii's error would hold the value. Raise ours below, so that it has no such context.
    with suppress(binascii.Error, ValueError):
        return Entry(
            version=found.metadata.resource_version,
            data={name: base64.b64decode(value, validate=True) for name, value in found.data.items()},
            type=found.type,
            labels=found.metadata.labels,
            annotations=found.metadata.annotations,
            immutable=found.immutable,
            deleted=found.metadata.deletion_timestamp is not None,
        )
    raise TargetUnavailable(f"could not {action.doing}: a value is not base64", where=action.where, ambiguous=writing)


def _parsed(model: type[Model], answer: Answer, action: Action, *, writing: bool = False) -> Model:
    """Return an answer as `model`. The server's text is not repeated."""
    if answer.status == HTTPStatus.FORBIDDEN:
        raise TargetForbidden(f"this login may not {action.doing}", where=action.where, remedy=action.remedy)
    if answer.status == HTTPStatus.UNPROCESSABLE_ENTITY:
        immutable = "immutable" in answer.causes()
        raise TargetMisfit(
            f"could not {action.doing}: {'it is immutable' if immutable else 'the server refuses its content'}",
            where=action.where,
            evidence="status 422",
            remedy="Replace it by a Secret without `immutable: true`." if immutable else "",
        )
    if answer.good:
        # pydantic's error contains the answer and its secrets. Raise ours below, so that it has no such context.
        with suppress(ValidationError):
            return model.model_validate(answer.body)
    raise TargetUnavailable(
        f"could not {action.doing}: this is not an answer about Secrets",
        where=action.where,
        evidence=f"status {answer.status}",
        ambiguous=writing and answer.good,
    )
