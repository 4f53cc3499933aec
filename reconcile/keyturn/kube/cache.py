"""What the operator knows of the cluster, kept by its watches: small, and by account.

Of a resource only what is read of it is kept, without the fields of other managers and annotations of others. A change
of a status marks nothing: the operator writes it itself.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from keyturn.core.errors import InputError
from keyturn.kube.api import facts_of
from keyturn.kube.resources import (
    CLUSTER_ACCOUNT,
    KEY,
    RELEASE,
    ROTATE,
    Account,
    AccountResource,
    ClusterAccountResource,
    KeyResource,
    Model,
    read,
)
from keyturn.kube.tenants import Name, SecretFacts, secrets_of
from keyturn.kube.translate import id_of
from keyturn.kube.watch import Ident
from keyturn.targets.kubernetes_secrets import MANAGER

Found = Mapping[str, object] | None
_OURS = re.compile(rf"{MANAGER}(-[0-9a-f]{{8}})?")
"""Our field managers: see `Secrets.create`, which writes under a name of its own where it may only apply."""


@dataclass(frozen=True, slots=True)
class Changed:
    """What has to be looked at: keys of an account by their ids. `verify`: what they deliver to may have changed.

    `account`: the account itself changed, came or went.
    """

    owner: str
    keys: tuple[str, ...] = ()
    verify: bool = False
    account: bool = False


@dataclass(frozen=True, slots=True)
class View:
    """An account and its keys at one moment. `version` changes when anything does that a look depends on."""

    version: int
    account: Account | None
    keys: Mapping[Name, KeyResource]
    namespaces: Mapping[str, Mapping[str, str]]


@dataclass(slots=True)
class _Held:
    """What is known of one account."""

    account: Account | None = None
    keys: dict[Name, KeyResource] = field(default_factory=dict)


class Cache:
    """The resources, namespaces and Secrets that the watches tell of. Thread-safe."""

    def __init__(self, hear: Callable[[Changed], None]) -> None:
        """`hear` is called after each change that matters, in the thread of the watch."""
        self._hear = hear
        self._lock = threading.RLock()
        self._held: dict[str, _Held] = {}
        self._owners: dict[Name, str] = {}
        self._namespaces: dict[str, Mapping[str, str]] = {}
        self._secrets: dict[Name, SecretFacts] = {}
        self._users: dict[Name, set[Name]] = {}
        self._version = 0
        self.unread: dict[tuple[str, Ident], str] = {}
        """Resources that are not of this version, and why."""

    def owners(self) -> frozenset[str]:
        """Return the accounts that there are, and those that a key names."""
        with self._lock:
            return frozenset(self._held)

    def view(self, owner: str) -> View:
        """Return what is known of an account."""
        with self._lock:
            held = self._held.get(owner, _Held())
            return View(self._version, held.account, dict(held.keys), dict(self._namespaces))

    def key_now(self, name: Name) -> KeyResource | None:
        """Return a key as it is now."""
        with self._lock:
            return self._held[owner].keys.get(name) if (owner := self._owners.get(name)) else None

    def account_now(self, owner: str) -> Account | None:
        """Return an account as it is now."""
        with self._lock:
            return held.account if (held := self._held.get(owner)) else None

    def facts(self, name: Name) -> SecretFacts | None:
        """Return what is known of a Secret, if Secrets are watched."""
        with self._lock:
            return self._secrets.get(name)

    def key(self, one: Ident, found: Found, *, ours: bool = False) -> None:
        """Hear of a ModelAccessKey; `ours`: from the answer to a write, which a watch may have overtaken."""
        new = self._read(KeyResource, KEY, one, found)
        if found is not None and new is None:
            return
        with self._lock:
            old = self.key_now(one)
            if (new is None and old is None) or (ours and (old is None or _older(new, old))):
                return
            owner = account_of(new) if new else self._owners[one]
            self._place(owner, one, old, new)
            self._version += _of_look(old) != _of_look(new)
        subject = new or old
        if subject and _by_others(old) != _by_others(new):
            self._hear(Changed(owner, (id_of(subject),)))

    def account(self, kind: str, one: Ident, found: Found, *, ours: bool = False) -> None:
        """Hear of an account of either kind; `ours` as for a key."""
        whole = None if found is None else {**found, "kind": kind}
        new = (
            self._read(ClusterAccountResource, kind, one, whole)
            if kind == CLUSTER_ACCOUNT
            else self._read(AccountResource, kind, one, whole)
        )
        if found is not None and new is None:
            return
        owner = "/".join(filter(None, one))
        with self._lock:
            old = self.account_now(owner)
            if ours and (old is None or _older(new, old)):
                return
            same = _by_others(old) == _by_others(new)
            held = self._held.setdefault(owner, _Held())
            held.account = new
            self._forget_empty(owner)
            self._version += not same
            spec = (old and old.spec) != (new and new.spec)
            keys = tuple(map(id_of, held.keys.values())) if spec else ()
        if not same:
            self._hear(Changed(owner, keys, account=True))

    def namespace(self, one: Ident, found: Found) -> None:
        """Hear of a namespace: its labels say which accounts its keys may use."""
        labels = None if found is None else dict(facts_of(found).labels)
        name = one[1]
        with self._lock:
            if self._namespaces.get(name) == labels:
                return
            if labels is None:
                del self._namespaces[name]
            else:
                self._namespaces[name] = labels
            self._version += 1
            marked = [(owner, id_of(key)) for owner, key in self._all() if key.metadata.namespace == name]
        for owner in {owner for owner, _ in marked}:
            self._hear(Changed(owner, tuple(key for of, key in marked if of == owner)))

    def secret(self, one: Ident, found: Found) -> None:
        """Hear of a Secret's metadata. A write of our own needs no second look."""
        with self._lock:
            old = self._secrets.get(one)
            new = facts_of(found) if found is not None else None
            if new is None:
                self._secrets.pop(one, None)
            else:
                self._secrets[one] = new
            self._version += old != new
            users = [key for name in self._users.get(one, ()) if (key := self.key_now(name))]
        if found is None or not written_by_us(found):
            for key in users:
                self._hear(Changed(account_of(key), (id_of(key),), verify=True))

    def _read(self, model: type[Model], kind: str, one: Ident, found: Found) -> Model | None:
        if found is None:
            self.unread.pop((kind, one), None)
            return None
        try:
            read_ = read(model, found)
        except InputError as error:
            self.unread[kind, one] = str(error)
            return None
        self.unread.pop((kind, one), None)
        return read_

    def _place(self, owner: str, one: Name, old: KeyResource | None, new: KeyResource | None) -> None:
        """Put a key where it belongs."""
        for secret in secrets_of(old) if old else ():
            self._users.get(secret, set()).discard(one)
        for secret in secrets_of(new) if new else ():
            self._users.setdefault(secret, set()).add(one)
        if (before := self._owners.pop(one, None)) is not None:
            del self._held[before].keys[one]
            self._forget_empty(before)
        if new is not None:
            self._held.setdefault(owner, _Held()).keys[one] = new
            self._owners[one] = owner

    def _forget_empty(self, owner: str) -> None:
        if self._held[owner] == _Held():
            del self._held[owner]

    def _all(self) -> list[tuple[str, KeyResource]]:
        return [(owner, key) for owner, held in self._held.items() for key in held.keys.values()]


def account_of(key: KeyResource) -> str:
    """Return the owner name of the account that a key names; see `owner_of`."""
    ref = key.spec.account_ref
    return ref.name if ref.kind == CLUSTER_ACCOUNT else f"{key.metadata.namespace}/{ref.name}"


def written_by_us(found: Mapping[str, object]) -> bool:
    """Tell whether the newest change of an object is ours, by its field managers."""
    metadata = found.get("metadata")
    entries = metadata.get("managedFields") if isinstance(metadata, Mapping) else None
    dated = [(str(one.get("time", "")), one) for one in entries or () if isinstance(one, Mapping)]
    newest = max((at for at, _ in dated), default="")
    return bool(dated) and all(_OURS.fullmatch(str(one.get("manager"))) for at, one in dated if at == newest)


def _older(new: Account | KeyResource | None, old: Account | KeyResource) -> bool:
    """Tell whether an object is not newer than another one: resource versions count up."""
    versions = [one.metadata.resource_version if one else "" for one in (new, old)]
    return not all(map(str.isdecimal, versions)) or int(versions[0]) <= int(versions[1])


def _by_others(one: Account | KeyResource | None) -> object:
    """Return what others change, and a look has to follow."""
    if one is None:
        return None
    metadata = one.metadata
    asked = metadata.annotations.get(ROTATE if isinstance(one, KeyResource) else RELEASE)
    return metadata.uid, metadata.generation, asked, metadata.deletion_timestamp


def _of_look(one: KeyResource | None) -> object:
    """Return what the rules of a look depend on: also which API keys a key has."""
    return one and (_by_others(one), one.status.api_keys)
