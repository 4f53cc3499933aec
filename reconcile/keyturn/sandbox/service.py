"""The fake account with a clock, a log and armed faults. Thread-safe."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from hashlib import sha256

from keyturn.sandbox import control, inference, platform
from keyturn.sandbox import state as account
from keyturn.sandbox.deployments import App, components, variables
from keyturn.sandbox.faults import Fault, fault_from, play, take
from keyturn.sandbox.limits import Allowance, Meter, untouched
from keyturn.sandbox.ready import ReadyKey
from keyturn.sandbox.settings import Settings, is_seconds
from keyturn.sandbox.state import Key, State, Token
from keyturn.sandbox.wire import Answer, Call, Reply, control_error, error, http_date, render

LOG_MAX = 100_000


@dataclass(frozen=True, slots=True)
class Seen:
    """One request in the log, without secrets.

    status: None if the connection was dropped. effect_at: the time at which the request changed the account, if it did.
    credential: `token`, `key`, `dead` (a secret that died), `unknown` or `none`, at the time of the request.
    """

    n: int
    time: float
    verb: str
    path: str
    query: Mapping[str, str]
    op: str
    uuid: str
    mutating: bool
    status: int | None
    credential: str
    fault: str | None
    effect_at: float | None


@dataclass(frozen=True, slots=True)
class _Pending:
    due: float
    n: int
    call: Call


class Service:
    """Answers requests one at a time, and lets tests change the account from outside."""

    def __init__(
        self,
        settings: Settings,
        *,
        seed: int | None = None,
        start: float | None = None,
        tokens: Iterable[Token | str] = (),
        keys: Iterable[ReadyKey] = (),
    ) -> None:
        """Start an account. With `start` (Unix seconds), only `advance` moves the time."""
        self._lock = threading.RLock()
        self._start = start
        self._offset = 0.0
        self._seed = secrets.token_hex(16) if seed is None else str(seed)
        self._settings = settings
        self._state = State(self._seed)
        self._meter = Meter()
        self._faults: tuple[Fault, ...] = ()
        self._pending: tuple[_Pending, ...] = ()
        self._log: dict[int, Seen] = {}
        self._count = 0
        self._tokens_made = 0
        given = [token if isinstance(token, Token) else Token(token) for token in tokens]
        for token in given or [Token(account.derive_token(self._seed, 0))]:
            self._state = account.with_token(self._state, token)
        self.token = next(iter(self._state.tokens))
        for ready in keys:
            for name in ready.names():
                self.panel_create(name, ready.models, vpc=ready.vpc, team=ready.team)

    # --- the two APIs

    def handle(self, call: Call) -> Reply:
        """Answer one request of either API, apply faults, and log it."""
        with self._lock:
            now = self._settle()
            self._count += 1
            n, before, credential = self._count, self._state, self._credential(call.bearer, now)
            request_id = account.derive_uuid(self._seed, "request", n)
            self._faults, fault = take(self._faults, call.op, self._key_of(call))
            if fault is None:
                reply = render(self._answer(call, now, request_id))
            else:
                if fault.kind == "late":
                    self._pending += (_Pending(now + fault.delay, n, call),)
                reply = play(
                    fault,
                    lambda: self._answer(call, now, request_id),
                    lambda status, message: self._fail(call, now, request_id, status, message),
                )
            self._log[n] = Seen(
                n=n,
                time=now,
                verb=call.verb,
                path=call.path,
                query=call.query,
                op=call.op,
                uuid=call.subject,
                mutating=call.is_mutating,
                status=reply.status,
                credential=credential,
                fault=fault.kind if fault else None,
                effect_at=None if self._state is before else now,
            )
            self._log.pop(n - LOG_MAX, None)
            return replace(reply, headers={**reply.headers, "date": http_date(now), "x-request-id": request_id})

    def _answer(self, call: Call, now: float, request_id: str) -> Answer:
        if call.is_inference:
            return self._perform(call, now)
        allowance = self._allowance(call, now)
        answer = self._perform(call, now) if allowance.allowed else control_error(429, "API rate limit exceeded.")
        # the real 410 has no request id
        return answer.dressed("" if answer is control.GONE else request_id, allowance.headers())

    def _fail(self, call: Call, now: float, request_id: str, status: int, message: str) -> Answer:
        answer = error(call, status, message, openai=self._settings.openai_errors)
        if call.is_inference:
            return answer
        told = replace(self._allowance(call, now, count=False), retry_after=None)
        return answer.dressed(request_id, told.headers())

    def _allowance(self, call: Call, now: float, *, count: bool = True) -> Allowance:
        limits = self._settings.hour_limit, self._settings.minute_limit
        known = call.bearer in self._state.tokens
        return self._meter.take(call.bearer, now, *limits, count=count) if known else untouched(now, limits[0])

    def _perform(self, call: Call, now: float) -> Answer:
        api = inference.answer if call.is_inference else control.answer
        self._state, answer = api(self._state, self._settings, call, now)
        return answer

    def _settle(self) -> float:
        """Apply all late requests that are due, in order. Return the current time."""
        now = (time.time() if self._start is None else self._start) + self._offset
        for late in sorted((late for late in self._pending if late.due <= now), key=lambda late: late.due):
            before = self._state
            self._perform(late.call, late.due)
            if self._state is not before and late.n in self._log:
                self._log[late.n] = replace(self._log[late.n], effect_at=late.due)
        self._pending = tuple(late for late in self._pending if late.due > now)
        return now

    def _key_of(self, call: Call) -> str:
        """Return the uuid of the key that a request names, or whose secret, alive or dead, it is sent with."""
        minted = self._state.secrets.get(call.bearer) if call.is_inference else None
        return minted.uuid if minted else "" if call.is_inference else call.subject

    def _credential(self, bearer: str, now: float) -> str:
        if not bearer:
            return "none"
        if bearer in self._state.tokens:
            return "token"
        minted = self._state.secrets.get(bearer)
        if minted is None:
            return "unknown"
        return "key" if minted.alive(now) else "dead"

    # --- the admin

    @property
    def state(self) -> State:
        """A frozen snapshot of the account."""
        with self._lock:
            self._settle()
            return self._state

    @property
    def now(self) -> float:
        """The current time of the sandbox, in Unix seconds."""
        with self._lock:
            return self._settle()

    @property
    def settings(self) -> Settings:
        """The current settings."""
        return self._settings

    @property
    def requests(self) -> tuple[Seen, ...]:
        """The last 100,000 requests, oldest first."""
        with self._lock:
            self._settle()
            return tuple(self._log.values())

    @property
    def faults(self) -> tuple[Fault, ...]:
        """The faults that are still armed."""
        return self._faults

    def accepts(self, secret: str) -> bool:
        """Tell whether inference accepts a secret now."""
        with self._lock:
            now = self._settle()
            return self._state.key_of(secret, now) is not None

    def panel_create(
        self, name: str, models: Iterable[str] | None = None, *, vpc: bool = False, team: str = account.TEAM
    ) -> Key:
        """Create a key as an operator does in the control panel. The result's `.secret` is its secret."""
        with self._lock:
            now = self._settle()
            self._state, key = account.create(
                self._state,
                name,
                now,
                self._settings.mint,
                by="panel",
                team=team,
                models=None if models is None else tuple(models),
                vpc=vpc,
            )
            return key

    def by_hand(self, do: str, uuid: str, name: str = "") -> Key:
        """Regenerate, delete or rename a key without the API. Raises ValueError if that is not possible."""
        with self._lock:
            now = self._settle()
            key = self._state.key(uuid)
            if key is None:
                raise ValueError("no such key")
            mint = self._settings.mint
            match do:
                case "regenerate":
                    self._state, key = account.regenerate(self._state, key, now, mint, by="hand")
                case "delete":
                    self._state, key = account.delete(self._state, key, now, mint)
                case "rename" if name.strip():
                    self._state, key = account.rename(self._state, key, name)
                case _:
                    raise ValueError("expected do: regenerate, delete, or rename with a name")
            return key

    def make_app(self, spec: Mapping[str, object], *, team: str = account.TEAM) -> App:
        """Create an app as an operator does in the control panel. Raises ValueError if the spec is wrong."""
        with self._lock:
            now = self._settle()
            platform.check_spec(self._state, spec, team)
            self._state, app = platform.put(self._state, self._settings, spec, now, team)
            return app

    def end_deployment(self, app: str, end: str = "ACTIVE") -> None:
        """End the last deployment of an app now, as ENDS says. Raises ValueError if it is over, or there is no app."""
        with self._lock:
            now = self._settle()
            self._state = platform.end(self._state, app, now, end)

    def roll_back(self, app: str) -> None:
        """Deploy the spec before the last one, as an operator rolls back. Raises ValueError if there is none."""
        with self._lock:
            now = self._settle()
            self._state = platform.roll_back(self._state, self._settings, app, now)

    def running(self, app: str, component: str = "", deployment: str = "") -> tuple[str, dict[str, str]]:
        """Return the id of an app's active deployment, and the variables that a component of it runs with.

        The variables are in plain text, as the platform starts the component with them; without a component, those of
        the app. `deployment` chooses another one than the active one, whose components the platform may be starting.
        The id is empty before the first deployment is active. Raises ValueError if there is no such app, component or
        deployment.
        """
        with self._lock:
            now = self._settle()
            found = self._state.apps.get(app)
            if found is None:
                raise ValueError("no such app")
            chosen = {one.id: one for one in found.deployments}
            if deployment and deployment not in chosen:
                raise ValueError("no such deployment")
            one = chosen[deployment] if deployment else found.active(now)
            return (one.id, variables(one.spec, component, self._state.sealed)) if one else ("", {})

    def arm(self, op: str, kind: str, /, **options: object) -> Fault:
        """Arm a fault. The options are the fields of `Fault`."""
        fault = fault_from({**options, "op": op, "kind": kind})
        with self._lock:
            self._faults += (fault,)
        return fault

    def clear_faults(self) -> None:
        """Disarm all faults. A late request that is pending still takes effect."""
        with self._lock:
            self._faults = ()

    def clear_requests(self) -> None:
        """Empty the log. Its numbering continues."""
        with self._lock:
            self._log.clear()

    def change(self, /, **settings: object) -> Settings:
        """Change settings. Raises ValueError with the mistake."""
        with self._lock:
            self._settings = self._settings.changed(settings)
            return self._settings

    def advance(self, seconds: float) -> float:
        """Advance the sandbox's time. Return the new time."""
        if not is_seconds(seconds):
            raise ValueError("advance: expected seconds, 0 or more")
        with self._lock:
            self._offset += seconds
            return self._settle()

    def add_token(self, value: str = "", *, scopes: Iterable[str] = account.USUAL, team: str = account.TEAM) -> Token:
        """Add or replace an account token. An empty value is generated. Raises ValueError for an unknown scope."""
        unknown = sorted(set(scopes) - account.SCOPES)
        if unknown:
            raise ValueError(f"unknown scope: {', '.join(unknown)}; known: {', '.join(sorted(account.SCOPES))}")
        with self._lock:
            self._tokens_made += 1
            token = Token(value or account.derive_token(self._seed, self._tokens_made), frozenset(scopes), team)
            self._state = account.with_token(self._state, token)
            return token

    def revoke_token(self, value: str) -> None:
        """Revoke an account token."""
        with self._lock:
            self._state = account.without_token(self._state, value)

    def view(self) -> dict[str, object]:
        """Return the whole account as a JSON object, including secrets."""
        with self._lock:
            now = self._settle()
            state = self._state
            return {
                "now": now,
                "settings": self._settings.view(),
                "faults": [fault.view() for fault in self._faults],
                "late": [{"due": late.due, "n": late.n, "op": late.call.op} for late in self._pending],
                "tokens": [{**asdict(token), "scopes": sorted(token.scopes)} for token in state.tokens.values()],
                "keys": [asdict(key) for key in state.keys.values()],
                "apps": [self._view_app(app, now) for app in state.apps.values()],
                "stored": [
                    {"team": team, "region": region, "name": name, **asdict(stored)}
                    for (team, region, name), stored in state.stored.items()
                ],
                "secrets": [
                    {
                        "index": index,
                        **asdict(minted),
                        "digest": sha256(minted.value.encode()).hexdigest(),
                        "alive": minted.alive(now),
                        "accepted": minted.accepted(now),
                    }
                    for index, minted in enumerate(state.secrets.values())
                ],
            }

    def _view_app(self, app: App, now: float) -> dict[str, object]:
        names = ["", *(str(item["name"]) for item in components(app.spec))]
        deployment = app.active(now)
        return {
            "id": app.id,
            "name": app.name,
            "team": app.team,
            "deployments": [{"id": one.id, "phase": phase} for one, phase, _ in app.phases(now)],
            "running": deployment.id if deployment else "",
            "variables": {name: self.running(app.id, name)[1] for name in names},
        }
