"""The KV engine, version 2, of one server: read, compare-and-set, list, and the settings that affect records."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TypeVar
from urllib.parse import quote

from pydantic import BaseModel, ValidationError

from keyturn.core.errors import TargetMisfit, TargetUnavailable
from keyturn.targets.base import Guard
from keyturn.targets.rest import Request
from keyturn.targets.servers import Action
from keyturn.targets.vault_server import BAD, MOUNTS, NOT_FOUND, OK, Answer, Server

HIDDEN = "Check `mount`. If it is right, the login's policy allows nothing below it."
Model = TypeVar("Model", bound=BaseModel)

NO_VERSION = 2**31 - 1
"""A version that no path reaches. Vault checks the policy first, and then refuses a write over this version."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A path at one version. `fields` is None if it is absent or deleted; `vanishes` is the time of its deletion."""

    fields: Mapping[str, object] | None = field(repr=False)
    version: int
    destroyed: bool = False
    vanishes: str = ""


class _Metadata(BaseModel):
    version: int
    deletion_time: str = ""
    destroyed: bool = False


class _Data(BaseModel):
    data: dict[str, object] | None
    metadata: _Metadata


class _Mount(BaseModel):
    type: str
    path: str
    options: dict[str, str] | None = None


class _Keys(BaseModel):
    keys: list[str]


class _Config(BaseModel):
    delete_version_after: str = "0s"


class NoMount(TargetMisfit):
    """There is no such mount, or the login may use nothing of it: the server gives the same answer."""


class KeyValue:
    """One mount."""

    def __init__(self, server: Server, mount: str, name: str, shown: str) -> None:
        """Keep the server. Nothing is sent yet. Messages contain `shown` instead of the mount."""
        self._server = server
        self._mount = mount
        self._shown = shown
        self._name = name
        self._known = False

    def where(self, path: str) -> str:
        """Return the location for messages."""
        return f"target {self._name}, {self._shown}/{path}"

    def undelete(self, path: str, version: int) -> str:
        """Return the command that restores a deleted version."""
        return f"vault kv undelete -mount={self._shown} -versions={version} {path}"

    def read(self, path: str, version: int | None = None) -> Entry:
        """Read the newest version, or an earlier one."""
        action = self._action("read", path, "data", "create", "read", "update")
        params = {} if version is None else {"version": str(version)}
        answer = self._ask(action, Request("GET", self._url("data", path), params))
        if answer.status == NOT_FOUND and "data" not in answer.body:
            return Entry(fields=None, version=0)
        data = _parse(_Data, answer, action)
        deleted = data.data is None
        return Entry(
            fields=data.data,
            version=data.metadata.version,
            destroyed=data.metadata.destroyed,
            vanishes="" if deleted else data.metadata.deletion_time,
        )

    def write(self, path: str, fields: Mapping[str, object], version: int, guard: Guard) -> Entry | None:
        """Write all fields over exactly `version`. Return None if the path is at another version."""
        action = self._action("write", path, "data", "create", "read", "update")
        body = {"options": {"cas": version}, "data": dict(fields)}
        answer = self._ask(action, Request("POST", self._url("data", path), body=body, guard=guard))
        if answer.status == BAD and "check-and-set parameter did not match" in answer.errors:
            return None
        metadata = _parse(_Metadata, answer, action, writing=True)
        return Entry(fields=fields, version=metadata.version, vanishes=metadata.deletion_time)

    def probe_write(self, path: str, guard: Guard) -> None:
        """Try a write that changes nothing. Raises the errors of a real write."""
        self.write(path, {}, NO_VERSION, guard)

    def list(self, prefix: str) -> tuple[str, ...]:
        """Return the names directly below a prefix."""
        action = self._action("list", prefix, "metadata", "list")
        answer = self._ask(action, Request("GET", self._url("metadata", prefix), {"list": "true"}))
        if answer.status == NOT_FOUND:
            return ()
        return tuple(sorted(key for key in _parse(_Keys, answer, action).keys if not key.endswith("/")))

    def capabilities(self, path: str) -> frozenset[str]:
        """Return the login's capabilities on the data of a path; empty if it may not query them."""
        data = f"{self._mount}/data/{path}"
        answer = self._server.probe(
            Action(self.where(path), "query its capabilities"),
            Request("POST", "/v1/sys/capabilities-self", body={"paths": [data]}),
        )
        found = answer.body.get(data)
        return frozenset(str(one) for one in found) if isinstance(found, list) else frozenset()

    def vanishing(self) -> str:
        """Return the time after which this mount deletes versions. Empty means never."""
        action = Action(
            f"target {self._name}, {self._shown}/config",
            "read the settings of the mount",
            _policy(f"{self._shown}/config", "read"),
        )
        answer = self._ask(action, Request("GET", self._url("config")))
        after = _parse(_Config, answer, action).delete_version_after
        return "" if after in {"", "0", "0s"} else after

    def _ask(self, action: Action, request: Request) -> Answer:
        self._check_mount(action.remedy)
        answer = self._server.ask(action, request)
        if "no handler for route" in answer.errors:
            raise self._no_mount("it is gone", action.remedy)
        return answer

    def _check_mount(self, needed: str) -> None:
        """Check once that the mount is KV v2. On version 1, each path would look absent and accept any write.

        `needed` is what a policy has to allow for the request that is about to be sent.
        """
        if self._known:
            return
        action = Action(f"target {self._name}", f"look up the mount {self._shown!r}")
        answer = self._server.probe(action, Request("GET", f"{MOUNTS}/{self._mount}"))
        if answer.status != OK:
            raise self._no_mount(f"status {answer.status}", needed)
        mount = _parse(_Mount, answer, action)
        if mount.path.strip("/") != self._mount:
            hidden = self._shown != self._mount
            why = "it has a shorter path" if hidden else f"the mount is {mount.path.strip('/')!r}"
            raise self._no_mount(why, needed)
        version = (mount.options or {}).get("version", "1")
        if mount.type != "kv" or version != "2":
            found = f"KV version {version}" if mount.type == "kv" else f"of type {mount.type}"
            raise TargetMisfit(
                f"the mount {self._shown!r} is not KV version 2",
                where=f"target {self._name}",
                evidence=f"it is {found}, which cannot compare and set",
                remedy=f"Use another mount, or upgrade this one: vault kv enable-versioning {self._shown}.",
            )
        self._known = True

    def _no_mount(self, evidence: str, needed: str) -> NoMount:
        return NoMount(
            f"there is no mount {self._shown!r} that this login may use",
            where=f"target {self._name}",
            evidence=evidence,
            remedy=f"{HIDDEN} {needed}",
        )

    def policy(self, path: str, *capabilities: str) -> str:
        """Return the line that a policy needs for these capabilities on the data of a path."""
        return _policy(f"{self._shown}/data/{path}", *capabilities)

    def whole_policy(self, deliveries: Iterable[str], documents: str) -> str:
        """Return all lines that a policy needs for the deliveries to these paths and the documents below a prefix."""
        found = [_line(f"{self._shown}/data/{path}", "create", "read", "update") for path in deliveries]
        if documents:
            found.append(_line(f"{self._shown}/data/{documents}/*", "create", "read", "update"))
            found.append(_line(f"{self._shown}/metadata/{documents}/*", "list"))
            found.append(_line(f"{self._shown}/config", "read"))
        return "\n".join(["Its policy needs:", *found])

    def _url(self, part: str, path: str = "") -> str:
        """Return the path of a request. A name may hold what would end a path, such as `?`."""
        return quote(f"/v1/{self._mount}/{part}" + (f"/{path}" if path else ""))

    def _action(self, verb: str, path: str, part: str, *capabilities: str) -> Action:
        below = f"{self._shown}/{part}/{path}"
        return Action(self.where(path), f"{verb} {below}", _policy(below, *capabilities))


def _policy(path: str, *capabilities: str) -> str:
    return f"Its policy needs: {_line(path, *capabilities)}"


def _line(path: str, *capabilities: str) -> str:
    words = ", ".join(f'"{capability}"' for capability in capabilities)
    return f'path "{path}" {{ capabilities = [{words}] }}'


def _parse(model: type[Model], answer: Answer, action: Action, *, writing: bool = False) -> Model:
    """Return the answer's data as `model`. The server's text is not repeated."""
    if answer.status == BAD:
        raise TargetMisfit(
            f"could not {action.doing}: the server refuses it", where=action.where, evidence="status 400"
        )
    # pydantic's error contains the answer and its secrets. Raise ours below, so that it has no such context.
    with suppress(ValidationError):
        return model.model_validate(answer.body.get("data"))
    raise TargetUnavailable(
        f"could not {action.doing}: this is not an answer of a KV engine, version 2",
        where=action.where,
        evidence=f"status {answer.status}",
        ambiguous=writing,
    )
