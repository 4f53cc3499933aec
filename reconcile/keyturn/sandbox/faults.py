"""PURE: faults that a test arms, and the effect of each on an answer."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from http import HTTPStatus
from typing import Final

from keyturn.sandbox.settings import is_seconds
from keyturn.sandbox.wire import CONTROL_OPS, INFERENCE_OPS, Answer, Reply, render

ANY: Final = "*"
OF_NO_KEY: Final = frozenset({
    "list", "create", "account", "prepayment", "apps", "propose-app", "secret-list", "secret-create",
})  # fmt: skip
"""Operations that are about no single key or app."""
OPS: Final = (*CONTROL_OPS, *INFERENCE_OPS, ANY)
KINDS: Final = (
    "error-NNN",
    "lost-response",
    "dropped-request",
    "late",
    "slow",
    "html-error",
    "truncated-json",
    "half-list",
)
DROPPED: Final = Reply(None)


@dataclass(frozen=True, slots=True)
class Fault:
    """One armed fault.

    op: the operation that it affects, or `*`. uuid: only requests about this key or app, or with a
        secret of the key, unless empty.
    kind: one of KINDS; `error-NNN` stands for any status from 400 to 599.
    times: how often it takes effect; None means until it is cleared. after: how many matching requests pass first.
    delay: seconds; real time for `slow`, sandbox time for `late`; also `Retry-After` of `error-429`.
    status: the answer of `late` and `html-error`. drop: `late` drops the connection instead of answering.
    quiet: `half-list` lowers `meta.total` too, so that the list looks complete.
    """

    op: str
    kind: str
    times: int | None = 1
    after: int = 0
    delay: float = 1.0
    status: int = 502
    drop: bool = False
    quiet: bool = False
    uuid: str = ""

    def __post_init__(self) -> None:
        """Raise ValueError for wrong fields, with the expected values."""
        wrong = [message for right, message in self._rules() if not right]
        if wrong:
            raise ValueError("; ".join(wrong))

    def _rules(self) -> tuple[tuple[bool, str], ...]:
        return (
            (self.op in OPS, f"op: expected one of {', '.join(OPS)}"),
            (
                self.kind in KINDS[1:] or re.fullmatch(r"error-[45]\d\d", str(self.kind)) is not None,
                f"kind: expected one of {', '.join(KINDS)}",
            ),
            (self.kind != "half-list" or self.op == "list", "half-list works only with op list"),
            (self.times is None or _is_whole(self.times, 1), "times: expected 1 or more, or null for always"),
            (_is_whole(self.after, 0), "after: expected 0 or more"),
            (is_seconds(self.delay), "delay: expected seconds, 0 or more"),
            (_is_whole(self.status, 400, 599), "status: expected 400 to 599"),
            (all(isinstance(flag, bool) for flag in (self.drop, self.quiet)), "drop, quiet: expected true or false"),
            (isinstance(self.uuid, str), "uuid: expected text"),
            (
                not self.uuid or self.op not in OF_NO_KEY,
                f"uuid: expected only with an op about one key or app, not with {self.op}",
            ),
        )

    def strikes(self, op: str, uuid: str) -> bool:
        """Tell whether this fault matches a request: its operation, and the uuid of the key or app that it is about."""
        return self.op in (op, ANY) and self.uuid in ("", uuid)

    def view(self) -> dict[str, object]:
        """Return the fault as a JSON object."""
        return asdict(self)


def fault_from(options: Mapping[str, object]) -> Fault:
    """Read a fault from a JSON object. Raises ValueError with the mistake."""
    unknown = sorted(set(options) - {field.name for field in fields(Fault)})
    missing = [name for name in ("op", "kind") if not isinstance(options.get(name), str)]
    if unknown or missing:
        raise ValueError(f"a fault needs text for {missing}" if missing else f"a fault has no {', '.join(unknown)}")
    return Fault(**dict(options))  # type: ignore[arg-type]  # __post_init__ checks every value


def take(faults: tuple[Fault, ...], op: str, uuid: str = "") -> tuple[tuple[Fault, ...], Fault | None]:
    """Return the faults that stay armed, and the first one that affects this request. Each match counts for `after`.

    `uuid`: the key or app that the request is about; empty if there is none.
    """
    struck: Fault | None = None
    left: list[Fault] = []
    for fault in faults:
        if not fault.strikes(op, uuid):
            left.append(fault)
        elif fault.after:
            left.append(replace(fault, after=fault.after - 1))
        elif struck is not None:
            left.append(fault)
        else:
            struck = fault
            if fault.times is None:
                left.append(fault)
            elif fault.times > 1:
                left.append(replace(fault, times=fault.times - 1))
    return tuple(left), struck


def play(fault: Fault, do: Callable[[], Answer], fail: Callable[[int, str], Answer]) -> Reply:
    """Return the reply to the client. Call `do` if the request takes effect immediately with this kind.

    `fail` returns an error with a status and a message, in the format of the API that was called.
    """
    match fault.kind:
        case "lost-response":
            do()
            return DROPPED
        case "dropped-request":
            return DROPPED
        case "late":
            return DROPPED if fault.drop else render(fail(fault.status, "The server did not answer in time."))
        case "slow":
            return replace(render(do()), wait=fault.delay)
        case "truncated-json":
            whole = render(do())
            return replace(whole, content=whole.content[: len(whole.content) // 2])
        case "half-list":
            return render(_halved(do(), quiet=fault.quiet))
        case "html-error":
            page = f"<html><head><title>{fault.status}</title></head><body><h1>Error {fault.status}</h1></body></html>"
            return Reply(fault.status, page.encode(), {"content-type": "text/html; charset=utf-8"})
        case _:  # error-NNN
            status = int(fault.kind.removeprefix("error-"))
            answer = fail(status, f"The sandbox was told to answer {status}.")
            if status == HTTPStatus.TOO_MANY_REQUESTS:
                answer = replace(answer, headers={**answer.headers, "retry-after": str(math.ceil(fault.delay))})
            return render(answer)


def _halved(answer: Answer, *, quiet: bool) -> Answer:
    # The body is ours and plain JSON, so a round trip is the simplest deep copy.
    body = json.loads(json.dumps(answer.body))
    if "api_key_infos" not in body:
        return answer
    kept = body["api_key_infos"][: len(body["api_key_infos"]) // 2]
    lost = len(body["api_key_infos"]) - len(kept)
    body["api_key_infos"] = kept
    if quiet:
        body["meta"]["total"] -= lost
    return replace(answer, body=body)


def _is_whole(value: object, least: int, most: int | None = None) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least and (most is None or value <= most)
