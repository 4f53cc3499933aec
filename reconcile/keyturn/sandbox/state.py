"""PURE: the fake account. Frozen state, and functions from one state to the next; `now` is passed in, in Unix seconds.

All random-looking values are derived from the seed and a counter, so equal histories have equal uuids and secrets.
"""

from __future__ import annotations

import hashlib
import uuid as uuids
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from keyturn.sandbox.deployments import App

TEAM: Final = "sandbox"
USUAL: Final = frozenset(
    {"genai:read", "genai:create", "genai:update", "genai:delete", "account:read", "inference:query"}
    | {"app:read", "app:create", "app:update", "database:view_credentials"}
    | {"security:read", "security:create", "security:update", "security:delete"}
)
"""The default scopes of a token: all except the balance, which most real tokens cannot read."""
SCOPES: Final = USUAL | {"billing:read"}
OLDER: Final = "sk-do-"
NEWER: Final = "doo_v1_"
MIXED: Final = "mixed"
PREFIXES: Final = (OLDER, NEWER, MIXED)


@dataclass(frozen=True, slots=True)
class Mint:
    """The format of secrets, and how fast they start and stop working.

    prefix: one of PREFIXES. `mixed` alternates the format of new keys, and a regenerate returns the other one.
    propagation: seconds until a new secret works. linger: seconds for which a replaced one still works.
    """

    prefix: str = OLDER
    propagation: float = 0.0
    linger: float = 0.0


AT_ONCE: Final = Mint()


@dataclass(frozen=True, slots=True)
class Token:
    """An account token: its scopes and its team."""

    value: str = field(repr=False)
    scopes: frozenset[str] = USUAL
    team: str = TEAM


@dataclass(frozen=True, slots=True)
class Key:
    """A model access key. `models` None means all models; `secret` is the current one."""

    uuid: str
    name: str
    created_at: float
    created_by: str
    secret: str = field(repr=False)
    team: str = TEAM
    models: tuple[str, ...] | None = None
    vpc: bool = False
    deleted_at: float | None = None


@dataclass(frozen=True, slots=True)
class Minted:
    """A secret that was ever created, and the time span in which inference accepts it."""

    value: str = field(repr=False)
    uuid: str
    by: str
    minted_at: float
    usable_at: float
    died_at: float | None = None

    def alive(self, now: float) -> bool:
        """Whether the secret has not been replaced or deleted. It may still be propagating."""
        return self.died_at is None or now < self.died_at

    def accepted(self, now: float) -> bool:
        """Whether inference accepts the secret at this time."""
        return self.usable_at <= now and self.alive(now)


@dataclass(frozen=True, slots=True)
class Job:
    """An asynchronous invocation."""

    id: str
    model: str
    created_at: float
    uuid: str


@dataclass(frozen=True, slots=True)
class Stored:
    """A secret of Secrets Manager. `deleted_at` is set once its deletion was requested."""

    values: Mapping[str, str] = field(repr=False)
    version: int
    created_at: float
    updated_at: float
    deleted_at: float | None = None


@dataclass(frozen=True, slots=True)
class State:
    """The whole account. Keys are in the order of creation, including deleted ones.

    `stored` has the secrets of Secrets Manager by team, region and name.
    """

    seed: str = field(repr=False)
    drawn: int = 0
    keys: Mapping[str, Key] = field(default_factory=dict)
    secrets: Mapping[str, Minted] = field(default_factory=dict, repr=False)
    tokens: Mapping[str, Token] = field(default_factory=dict, repr=False)
    jobs: Mapping[str, Job] = field(default_factory=dict)
    apps: Mapping[str, App] = field(default_factory=dict)
    sealed: Mapping[str, str] = field(default_factory=dict, repr=False)
    """The plain text of each EV string."""
    stored: Mapping[tuple[str, str, str], Stored] = field(default_factory=dict, repr=False)

    def key(self, uuid: str, team: str | None = None) -> Key | None:
        """Return the key with this uuid, unless it is deleted or belongs to another team."""
        found = self.keys.get(uuid)
        if found is None or found.deleted_at is not None or (team is not None and found.team != team):
            return None
        return found

    def live_keys(self, team: str) -> tuple[Key, ...]:
        """Return the keys of a team that are not deleted, oldest first."""
        return tuple(key for key in self.keys.values() if key.team == team and key.deleted_at is None)

    def key_of(self, secret: str, now: float) -> Key | None:
        """Return the key for which inference accepts this secret now."""
        minted = self.secrets.get(secret)
        return self.keys[minted.uuid] if minted is not None and minted.accepted(now) else None


def derive(seed: str, kind: str, number: int) -> bytes:
    """Return 48 bytes that depend only on the arguments."""
    return hashlib.sha384(f"{seed}/{kind}/{number}".encode()).digest()


def derive_uuid(seed: str, kind: str, number: int) -> str:
    """Return a version 4 uuid that depends only on the arguments."""
    return str(uuids.UUID(bytes=derive(seed, kind, number)[:16], version=4))


def derive_token(seed: str, number: int) -> str:
    """Return an account token: `dop_v1_` and 64 hex digits."""
    return "dop_v1_" + derive(seed, "token", number).hex()[:64]


def team_uuid(team: str) -> str:
    """Return the uuid of a team. It is the same for every seed, so that restarts keep the account."""
    return derive_uuid("team", team, 0)


def with_token(state: State, token: Token) -> State:
    """Add or replace an account token."""
    return replace(state, tokens={**state.tokens, token.value: token})


def without_token(state: State, value: str) -> State:
    """Revoke an account token. An unknown token changes nothing."""
    return replace(state, tokens={known: token for known, token in state.tokens.items() if known != value})


def create(
    state: State,
    name: str,
    now: float,
    mint: Mint = AT_ONCE,
    *,
    by: str = "create",
    team: str = TEAM,
    models: tuple[str, ...] | None = None,
    vpc: bool = False,
) -> tuple[State, Key]:
    """Create a key with its first secret."""
    number = state.drawn + 1
    prefix = (OLDER, NEWER)[len(state.keys) % 2] if mint.prefix == MIXED else mint.prefix
    key = Key(
        uuid=derive_uuid(state.seed, "key", number),
        name=name,
        created_at=now,
        # An unsigned 64-bit integer above 2**53: a client that reads it as a float loses digits.
        created_by=str(2**63 + int.from_bytes(derive("user", team, 0)[:6])),
        secret=_secret(state.seed, number, prefix),
        team=team,
        models=models,
        vpc=vpc,
    )
    minted = Minted(key.secret, key.uuid, by, now, now + mint.propagation)
    return (
        replace(
            state,
            drawn=number,
            keys={**state.keys, key.uuid: key},
            secrets={**state.secrets, minted.value: minted},
        ),
        key,
    )


def rename(state: State, key: Key, name: str) -> tuple[State, Key]:
    """Rename a key."""
    return _put(state, replace(key, name=name))


def regenerate(
    state: State, key: Key, now: float, mint: Mint = AT_ONCE, *, by: str = "regenerate"
) -> tuple[State, Key]:
    """Replace the secret of a key. The old one dies now, or `mint.linger` seconds later."""
    number = state.drawn + 1
    other = NEWER if key.secret.startswith(OLDER) else OLDER
    value = _secret(state.seed, number, other if mint.prefix == MIXED else mint.prefix)
    minted = Minted(value, key.uuid, by, now, now + mint.propagation)
    secrets = {**_killed(state, key, now + mint.linger), minted.value: minted}
    return _put(replace(state, drawn=number, secrets=secrets), replace(key, secret=minted.value))


def delete(state: State, key: Key, now: float, mint: Mint = AT_ONCE) -> tuple[State, Key]:
    """Delete a key and kill its secret."""
    return _put(replace(state, secrets=_killed(state, key, now + mint.linger)), replace(key, deleted_at=now))


def add_job(state: State, model: str, uuid: str, now: float) -> tuple[State, Job]:
    """Queue an asynchronous invocation for a key (or, with an empty uuid, for an account token)."""
    number = state.drawn + 1
    job = Job(derive_uuid(state.seed, "job", number), model, now, uuid)
    return replace(state, drawn=number, jobs={**state.jobs, job.id: job}), job


def _put(state: State, key: Key) -> tuple[State, Key]:
    return replace(state, keys={**state.keys, key.uuid: key}), key


def _secret(seed: str, number: int, prefix: str) -> str:
    # 48 bytes are 64 characters of url-safe base64, without padding; the newer format is 64 hex digits.
    drawn = derive(seed, "secret", number)
    return prefix + (urlsafe_b64encode(drawn).decode() if prefix == OLDER else drawn.hex()[:64])


def _killed(state: State, key: Key, at: float) -> dict[str, Minted]:
    """Let each earlier secret of the key die at `at`, unless it dies before that."""
    return {
        value: replace(minted, died_at=at)
        if minted.uuid == key.uuid and (minted.died_at is None or minted.died_at > at)
        else minted
        for value, minted in state.secrets.items()
    }
