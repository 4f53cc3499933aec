"""Sends notices to receivers: signed webhooks, Slack, programs, and the URL of a dead man's switch."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import httpx

from keyturn import __version__
from keyturn.core.errors import InputError, KeyturnError
from keyturn.core.model import Receiver
from keyturn.core.notify import check_origin, secrets_of, url_of
from keyturn.core.origins import parse_origin
from keyturn.engine import programs
from keyturn.report.documents import dump
from keyturn.report.lines import moment
from keyturn.report.notices import Event, Notice
from keyturn.targets.base import proxy_for
from keyturn.targets.bounded_http import BoundedTransport, usual_trust

DEADLINE = 10.0
"""Seconds in which all receivers of a run have to take their notices; what is left waits for the next run."""
REQUEST = 5.0
"""The deadline of one request, in seconds."""
DEAD_MAN = "dead-man"
_BOLD = frozenset({Event.FAILED, Event.PARKED, Event.REFUSED, Event.OVERDUE, Event.ACTION_NEEDED})


@dataclass(slots=True)
class Sent:
    """What one receiver took: the ids, and why it took no more; the reason is empty if it took all."""

    ids: set[str] = field(default_factory=set)
    why: str = ""


def send_all(
    jobs: Mapping[str, Sequence[Notice]], receivers: Sequence[Receiver], environment: Mapping[str, str]
) -> dict[str, Sent]:
    """Send each receiver its notices, all receivers at once. Return after DEADLINE at the latest. Raises nothing.

    A dead man's switch is called once if it is among `jobs`.
    """
    end = time.monotonic() + DEADLINE
    result = {one.name: Sent(why="no answer within the deadline") for one in receivers if one.name in jobs}
    threads = []
    for one in receivers:
        if one.name not in jobs:
            continue
        arguments = (one, jobs[one.name], environment, end, result[one.name])
        thread = threading.Thread(target=_send, args=arguments, name=f"keyturn-notify-{one.name}", daemon=True)
        thread.start()
        threads.append(thread)
    for thread in threads:
        thread.join(max(0.0, end + 1 - time.monotonic()))
    return {name: Sent(set(sent.ids), sent.why) for name, sent in result.items()}


def _send(
    receiver: Receiver, notices: Sequence[Notice], environment: Mapping[str, str], end: float, sent: Sent
) -> None:
    """Send one receiver its notices in order, until it does not answer."""
    why = ""
    try:
        if receiver.kind == "command":
            why = _run(receiver, notices, end, sent)
        else:
            why = _post(receiver, notices, environment, end, sent)
    except KeyturnError as error:
        why = str(error)
    except Exception as error:  # noqa: BLE001 - a receiver never fails a run; its text may hold the URL
        why = type(error).__name__
    sent.why = why


def _run(receiver: Receiver, notices: Sequence[Notice], end: float, sent: Sent) -> str:
    if not receiver.allowed:
        return "the operator does not permit its program"
    for notice in notices:
        left = end - time.monotonic()
        if left <= 0:
            return "no time left in this run"
        if failure := programs.run(receiver.command, {}, seconds=left, stdin=dump(notice)):
            return failure
        sent.ids.add(notice.id)
    return ""


def _post(receiver: Receiver, notices: Sequence[Notice], environment: Mapping[str, str], end: float, sent: Sent) -> str:
    """Post each notice. A receiver that refuses one is still sent the next one; one that does not answer is not."""
    url = receiver.url or url_of(receiver.name, environment)
    if receiver.url:
        check_origin(receiver.name, url, environment)
    keys = secrets_of(receiver.name, environment) if receiver.kind == "webhook" else ()
    proxy = proxy_for(str(parse_origin(url)), environment)
    transport = BoundedTransport(seconds=REQUEST, verify=usual_trust(url, os.environ), proxy=proxy)
    requests = [(one.id, *_request(receiver, one, keys)) for one in notices] or [("", b"", {})]
    why = ""
    try:
        for notice_id, body, headers in requests:
            if end - time.monotonic() < REQUEST / 2:
                return why or "no time left in this run"
            agent = {"User-Agent": f"keyturn/{__version__}", **headers}
            answer = transport.handle_request(httpx.Request("POST", url, content=body, headers=agent))
            if answer.is_success:
                sent.ids.add(notice_id)
            else:
                why = f"it answered with HTTP {answer.status_code}"
    except httpx.InvalidURL:
        raise InputError("the URL cannot be used") from None
    except httpx.RequestError as error:
        return f"no answer ({type(error).__name__})"
    finally:
        transport.close()
    return why


def _request(receiver: Receiver, notice: Notice, keys: Sequence[bytes]) -> tuple[bytes, dict[str, str]]:
    """Return body and headers of a notice."""
    kind = {"Content-Type": "application/json"}
    if receiver.kind == "slack":
        return _slack(notice), kind
    body, at = dump(notice).encode(), str(int(time.time()))
    signed = b".".join((notice.id.encode(), at.encode(), body))
    signatures = (base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode() for key in keys)
    return body, {
        **kind,
        "webhook-id": notice.id,
        "webhook-timestamp": at,
        "webhook-signature": " ".join(f"v1,{signature}" for signature in signatures),
    }


def _slack(notice: Notice) -> bytes:
    """Return a message: no link and no mention is in it."""

    def escaped(text: str) -> str:
        plain = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        return plain.replace("://", ":\u200b//").replace("@", "@\u200b")

    title = f"*{notice.event}*" if notice.event in _BOLD else notice.event.value
    rows = [f"{title}  {escaped(notice.owner)}: {escaped(notice.text)}"]
    rows += [f"→ {escaped(notice.do)}"] if notice.do else []
    rows += [f"since {moment(notice.since)}"] if notice.since else []
    return json.dumps({"text": "\n".join(rows)}).encode()
