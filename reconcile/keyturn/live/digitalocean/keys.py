"""The control API: list, create, rename, regenerate and delete model access keys."""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from http import HTTPStatus
from typing import TypeVar

from keyturn import __version__
from keyturn.core.errors import Ambiguous, ApiError, ApiForbidden, CredentialError, NotAccepted, RateLimited
from keyturn.core.model import ApiKey, Timing
from keyturn.core.secret import Secret, sendable
from keyturn.core.world import Guard, Minted
from keyturn.live.digitalocean.budget import LONGEST_WAIT, RateBudget
from keyturn.live.digitalocean.http import Answer, HttpClient
from keyturn.live.digitalocean.refusal import refusal, unreadable
from keyturn.live.digitalocean.wire import AccountAnswer, KeyAnswer, KeyInfo, KeyPage, PrepaymentAnswer, Wire, parse

KEYS = "/v2/gen-ai/models/api_keys"
PREPAYMENT = "/v2/customers/my/prepayment_status"
PER_PAGE = 200
PASSES = 5
PAGES = 500
ATTEMPTS = 4
SOON = 2.0
"""Seconds that a change waits for the budget. The caller handles longer waits, because it has to keep its lease."""
_PAUSE = 0.5
_UUID = re.compile(r"[0-9A-Za-z][0-9A-Za-z-]{0,63}")

T = TypeVar("T")
W = TypeVar("W", bound=Wire)


def _utc_now() -> datetime:
    return datetime.now(UTC)


class ControlApi:
    """The key management calls of one account token. Thread-safe; all threads share one rate budget.

    Mints are sent once. Reads, renames and deletes are tried up to four times, with growing, jittered pauses. Reads
    wait for the rate limit, an hour and more. Changes wait only for seconds, because their lease is running:
    RateLimited then means that nothing happened, and `budget.throttled()` returns the remaining wait. All raise
    ApiError; a definite one means that nothing happened.
    """

    def __init__(
        self,
        url: str,
        token: Secret,
        *,
        timing: Timing = Timing(),  # noqa: B008 - frozen
        budget: RateBudget | None = None,
        sleep: Callable[[float], None] = time.sleep,
        now: Callable[[], datetime] = _utc_now,
        proxy: str = "",
        user_agent: str = f"keyturn/{__version__}",
    ) -> None:
        """Prepare. Nothing is sent. `budget` is the token's budget if another client already has one.

        Raises InputError for an invalid URL or proxy, CredentialError for a token that is not allowed in a header.
        """
        if not sendable(token.reveal()):
            raise CredentialError(
                "the account token has characters that are not allowed in a header",
                remedy="Check it for a line break or a quotation mark.",
            )
        self._http = HttpClient(url, seconds=timing.request, user_agent=user_agent, proxy=proxy)
        self._token = token
        self._sleep = sleep
        self.request = timing.request
        self.budget = budget or RateBudget(sleep, now)

    def close(self) -> None:
        """Close the client."""
        self._http.close()

    def clock_skew(self) -> float:
        """Return the API's last `Date` minus our clock in seconds, to about one second; 0.0 before any answer."""
        return self.budget.skew

    def list_keys(self) -> tuple[ApiKey, ...]:
        """Return a complete list, in the API's order.

        A list is complete if all pages agree on `meta.total` and it equals the number of distinct uuids. Otherwise the
        list is read again, up to five times. Raises Ambiguous if it is never complete.
        """
        for attempt in range(PASSES):
            keys = self._list_once()
            if keys is not None:
                return keys
            if attempt + 1 < PASSES:
                self._back_off(attempt)
        raise Ambiguous(
            f"the list of keys was inconsistent in {PASSES} attempts",
            where=self._http.url,
            remedy="Keys may be changing right now. Run again.",
        )

    def account(self) -> str:
        """Return the team's uuid, or empty if the token may not read it (scope account:read)."""
        try:
            body = self._retried(
                lambda wait: self._read("/v2/account", AccountAnswer, "reading the account", "account:read", wait)
            )
        except ApiForbidden as error:
            if error.status == HTTPStatus.FORBIDDEN:
                return ""
            raise
        return body.account.team.uuid

    def prepayment_blocked(self) -> bool | None:
        """Tell whether the account is blocked because its prepaid balance is used up.

        None if unknown: the token may not read it (scope billing:read), or the answer is not usable. Raises ApiError if
        there was no answer, or for too many requests.
        """
        try:
            body = self._retried(
                lambda wait: self._read(PREPAYMENT, PrepaymentAnswer, "reading the balance", "billing:read", wait),
                soon=True,  # the caller may hold a new secret
            )
        except ApiError as error:
            if error.status is None or isinstance(error, RateLimited):
                raise
            return None
        return body.status.blocked

    def create(self, name: str, guard: Guard) -> Minted:
        """Mint a new key. The request is sent once. Raises CreateRetired on 410."""
        answer = self._exchange("POST", KEYS, SOON, body={"name": name}, guard=guard)
        return self._minted(answer, "creating a key", "genai:create", "")

    def regenerate(self, uuid: str, guard: Guard) -> Minted:
        """Mint a new secret for a key. The request is sent once. The old secret dies."""
        answer = self._exchange("PUT", f"{self._path(uuid)}/regenerate", SOON, guard=guard)
        return self._minted(answer, f"regenerating {uuid}", "genai:update", uuid)

    def rename(self, uuid: str, name: str, guard: Guard) -> None:
        """Rename a key. Retried; the guard runs before each attempt."""
        body = {"api_key_uuid": uuid, "name": name}
        self._change("PUT", uuid, f"renaming {uuid}", "genai:update", body, guard)

    def delete(self, uuid: str, guard: Guard) -> None:
        """Delete a key. Retried; the guard runs before each attempt. A 404 in JSON, from the API, is a success."""
        self._change("DELETE", uuid, f"deleting {uuid}", "genai:delete", None, guard)

    def _list_once(self) -> tuple[ApiKey, ...] | None:
        """Read all pages once. Return None if they do not agree."""
        found: dict[str, ApiKey] = {}
        total: int | None = None
        for number in range(1, PAGES + 1):
            page = self._retried(lambda patience, number=number: self._page(number, patience))  # type: ignore[misc]
            known = len(found)
            found.update((info.uuid, info.key()) for info in page.api_key_infos)
            total = page.meta.total if total is None else total
            if total is None or page.meta.total != total or "" in found:
                return None
            if len(found) == known or len(found) >= total:
                return tuple(found.values()) if len(found) == total else None
        return None

    def _page(self, number: int, patience: float) -> KeyPage:
        params = {"page": str(number), "per_page": str(PER_PAGE)}
        return self._read(KEYS, KeyPage, "listing keys", "genai:read", patience, params)

    def _read(
        self, path: str, shape: type[W], what: str, scope: str, patience: float, params: dict[str, str] | None = None
    ) -> W:
        answer = self._exchange("GET", path, patience, params=params)
        if answer.status != HTTPStatus.OK:
            raise refusal(answer, what, scope, self._http.url)
        body = parse(shape, answer.body)
        if body is None:
            raise unreadable(answer, what, self._http.url)
        return body

    def _minted(self, answer: Answer, what: str, scope: str, uuid: str) -> Minted:
        """Return the key and secret of a mint. Raises Ambiguous if the answer is incomplete or of another key."""
        if answer.status not in {200, 201}:
            raise refusal(answer, what, scope, self._http.url, creating=not uuid)
        info = _info(answer)
        secret = (info and info.secret_key) or ""
        if info is None or not secret or not sendable(secret) or not info.uuid or (uuid and info.uuid != uuid):
            raise unreadable(answer, what, self._http.url)
        return Minted(info.key(), Secret(secret))

    def _change(
        self, method: str, uuid: str, what: str, scope: str, body: Mapping[str, object] | None, guard: Guard
    ) -> None:
        path = self._path(uuid)

        def once(patience: float) -> None:
            answer = self._exchange(method, path, patience, body=body, guard=guard)
            if answer.status == HTTPStatus.NO_CONTENT or (
                method == "DELETE" and answer.status == HTTPStatus.NOT_FOUND and parse(Wire, answer.body)
            ):
                return
            if answer.status != HTTPStatus.OK:
                raise refusal(answer, what, scope, self._http.url)
            info = _info(answer)
            if info is None or info.uuid not in {"", uuid}:
                raise unreadable(answer, what, self._http.url)

        self._retried(once, changing=True)

    def _retried(self, call: Callable[[float], T], *, changing: bool = False, soon: bool = False) -> T:
        """Call up to four times while the failure is transient. The argument of `call` is its patience for the budget.

        A 429 does not count. A read waits and is sent again; for a change it is raised, because the caller has a lease.

        If one attempt of a change was ambiguous, a later definite refusal does not cancel that: Ambiguous is raised.
        """
        unknown: Ambiguous | None = None
        attempt, until = 0, self.budget.ticks() + LONGEST_WAIT
        while True:
            hurried = soon or (changing and unknown is None)
            try:
                return call(SOON if hurried else LONGEST_WAIT)
            except ApiError as error:
                failure = error
            if isinstance(failure, RateLimited):
                if hurried or failure.status is None or self.budget.ticks() >= until:
                    raise unknown or failure
                continue
            if isinstance(failure, Ambiguous) and changing:
                unknown = failure
            if not _may_pass(failure) or attempt + 1 == ATTEMPTS:
                raise unknown or failure
            self._back_off(attempt)
            attempt += 1

    def _back_off(self, attempt: int) -> None:
        self._sleep(_PAUSE * 2**attempt * random.uniform(0.5, 1.0))  # noqa: S311 - jitter is not a secret

    def _path(self, uuid: str) -> str:
        if not _UUID.fullmatch(uuid):
            raise NotAccepted("not sent: this is not the uuid of a key", where=self._http.url)
        return f"{KEYS}/{uuid}"

    def _exchange(
        self,
        method: str,
        path: str,
        patience: float,
        *,
        params: Mapping[str, str] | None = None,
        body: Mapping[str, object] | None = None,
        guard: Guard | None = None,
    ) -> Answer:
        """Wait for the budget, then send once."""
        self.budget.acquire(patience)
        answer: Answer | None = None
        try:
            answer = self._http.send(method, path, self._token, params=params, body=body, guard=guard)
        finally:
            if answer is None:
                self.budget.release(None, {})
            else:
                self.budget.release(answer.status, answer.headers)
        return answer


def _info(answer: Answer) -> KeyInfo | None:
    body = parse(KeyAnswer, answer.body)
    return None if body is None else body.api_key_info


def _may_pass(error: ApiError) -> bool:
    """Whether the same call may succeed a moment later: no connection, or no usable answer."""
    return isinstance(error, Ambiguous) or (isinstance(error, NotAccepted) and error.status is None)
