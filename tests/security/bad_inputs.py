"""`python -m tests.security.bad_inputs KIND`: run the command line with each bad input of a kind, in this process.

Prints one JSON document: what went wrong with which input, the longest time, and the most memory in MiB. The working
directory is an empty folder; the environment names the servers.
"""

from __future__ import annotations

import json
import os
import random
import sys
import time
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path

import click
from click.testing import CliRunner

from keyturn.cli import main
from tests.support import canary

SECRET = "sk-do-" + "b4d1nput" * 8
"""A secret inside the inputs. Nothing may print it."""

SAMPLE = Path(__file__).parents[1] / "unit/records/2026-11-24-overlap.json"
MANIFEST = """\
apiVersion: keyturn/v1
name: bad
targets: {env: {type: dotenv, root: ., format: dotenv}}
records: {target: local}
timing: {settle: 1s, request: 1s, lease: 2s, propagation: 1s, delivery: 2s}
keys:
  bot:
    adopt: {secret: existing}
    deliver: [{target: env, path: bot.env, field: KEY}]
    smoke: {model: llama3.3-70b-instruct}
"""
PLAN = '{"kind": "plan", "runs": [{"owner": "bad", "digest": "d"}], "keys": ["bot"], "consent": {}, "schema": 1}'
Case = tuple[str, tuple[str, ...], Mapping[str, bytes], str]
"""What it is, the arguments, the files to write, the standard input."""

WHOLE: Mapping[str, bytes] = {
    "nothing": b"",
    "a megabyte of blanks": b" " * 2**20,
    "nine megabytes": b"[1," * (3 * 2**20),
    "brackets": b"[" * 100_000,
    "braces": b'{"a":' * 100_000,
    "noise": random.Random(1).randbytes(4000),
    "utf-16": "a: 1".encode("utf-16"),
    "latin-1": b"a: \xff\xfe",
    "NUL": b"a\x00b",
    "escapes": b"\x1b]8;;https://evil\x07 ::error::x\r##[error]y",
    "a secret": SECRET.encode(),
    "a secret as a name": json.dumps({SECRET: SECRET}).encode(),
    "digits": b"9" * 100_000,
    "a list": b"[]",
    "null": b"null",
    "NaN": b"NaN",
    "infinity": b'{"schema": 1e999}',
    "surrogate": b'{"kind": "\\ud800", "KEY": "\\ud800"}',
    "newer": b'{"kind": "plan", "schema": 2}',
    "twice": PLAN.encode() * 2,
}
"""Contents that are bad for every kind of file."""

VALUES: tuple[object, ...] = (
    None,
    True,
    -1,
    10**30,
    1.5,
    "",
    "x" * 5000,
    SECRET,
    "\x00",
    "\u202e",
    [],
    {},
    [[1]],
    {"": {}},
    "9999-12-31T23:59:59-23:00",
)


def changed(text: str, each: int = 3) -> Iterator[tuple[str, bytes]]:
    """Yield a document with each of its parts exchanged by `each` bad values, in turn."""
    document = json.loads(text)
    turn = 0
    for place in _places(document):
        for number in range(each):
            value = VALUES[(turn + number) % len(VALUES)]
            yield (
                f"{'.'.join(map(str, place))} is {str(value)[:20]!r}",
                json.dumps(_with(document, place, value)).encode(),
            )
        turn += each


def _places(document: object, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    yield path
    inner = (
        document.items() if isinstance(document, dict) else enumerate(document) if isinstance(document, list) else ()
    )
    for name, value in inner:
        yield from _places(value, (*path, name))


def _with(document: object, path: tuple[str | int, ...], value: object) -> object:
    if not path:
        return value
    if isinstance(document, dict):
        return {name: _with(one, path[1:], value) if name == path[0] else one for name, one in document.items()}
    assert isinstance(document, list)
    return [_with(one, path[1:], value) if number == path[0] else one for number, one in enumerate(document)]


def manifests() -> Iterator[Case]:
    """Wrong manifests, to `validate`."""
    import yaml

    texts = dict(WHOLE)
    texts |= dict(changed(json.dumps(yaml.safe_load(MANIFEST)), 8))
    texts["many wrong names"] = MANIFEST.encode() + b"".join(b"w%d: 1\n" % number for number in range(3000))
    texts["aliases"] = b"a: &a [x]\n" + b"".join(b"a%d: &a [*a, *a, *a, *a]\n" % number for number in range(30))
    for what, text in texts.items():
        yield what, ("validate", "-f", "keyturn.yaml"), {"keyturn.yaml": text}, ""


def records() -> Iterator[Case]:
    """Forged records in the local store, to `status`."""
    texts = dict(WHOLE)
    texts |= {what: _stored(text) for what, text in islice(changed(SAMPLE.read_text(), 1), 60)}
    for what, text in texts.items():
        yield what, ("status",), {"keyturn.yaml": MANIFEST.encode(), ".keyturn/keyturn/keys/bot.json": text}, ""


def _stored(document: bytes) -> bytes:
    return json.dumps({"version": 1, "document": document.decode()}).encode()


def plans() -> Iterator[Case]:
    """Forged saved plans, to `apply --plan`."""
    for what, text in {**WHOLE, **dict(changed(PLAN))}.items():
        yield what, ("apply", "--plan", "p.json", "--yes"), {"keyturn.yaml": MANIFEST.encode(), "p.json": text}, ""


def files() -> Iterator[Case]:
    """Files of secrets in each format, to `plan`."""
    texts = dict(WHOLE)
    texts |= {
        "blanks": b"KEY=x" + b" " * 40_000 + b"y",
        "open variables": b"KEY=" + b"${" * 8000,
        "values that double": b"A0=xxxxxxxx\n"
        + b"".join(b"A%d=${A%d}${A%d}\n" % (n, n - 1, n - 1) for n in range(1, 64)),
        "twice": b"KEY=a\nKEY=b\n",
        "a command": b"KEY=$(id)\n",
        "a number": b'{"KEY": 1}',
        "an open quote": b"KEY='" + SECRET.encode(),
        "lines": b"A=1\n" * 100_000,
        "blanks before a command": b" " * 500_000 + b";",
        "members": b"{" + b'"a":1,' * 100_000,
    }
    for kind in ("dotenv", "shell", "json"):
        text = MANIFEST.replace("format: dotenv", f"format: {kind}").encode()
        for what, content in texts.items():
            yield f"{kind}: {what}", ("plan",), {"keyturn.yaml": text, "bot.env": content}, ""


def certificates() -> Iterator[Case]:
    """Certificate files that are none, to `plan`."""
    address = os.environ["VAULT_ADDR"]
    for what, content in WHOLE.items():
        target = f'targets: {{env: {{type: vault, address: "{address}", ca_cert: ca.pem}}}}'
        text = MANIFEST.replace("targets: {env: {type: dotenv, root: ., format: dotenv}}", target)
        yield what, ("plan",), {"keyturn.yaml": text.encode(), "ca.pem": content}, ""


def secrets() -> Iterator[Case]:
    """Secrets on standard input, to `smoke --secret stdin`."""
    for what, content in WHOLE.items():
        given = content.decode("latin-1")
        yield what, ("smoke", "bot", "--secret", "stdin"), {"keyturn.yaml": MANIFEST.encode()}, given


def answers() -> Iterator[Case]:
    """The API's answers come from a bad server; the number of the answer goes with the token's path."""
    for number in range(int(os.environ["ANSWERS"])):
        yield f"answer {number}", ("status", "--all"), {"keyturn.yaml": MANIFEST.encode(), "next": b"%d" % number}, ""


KINDS = {
    "manifests": manifests,
    "records": records,
    "saved plans": plans,
    "files of secrets": files,
    "certificates": certificates,
    "standard input": secrets,
    "API answers": answers,
}


def run(case: Case) -> str:
    """Run one case; return what was wrong with it, or an empty text."""
    _, args, written, given = case
    for name, content in written.items():
        file = Path(name)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    result = CliRunner().invoke(main, args, input=given, prog_name="keyturn")
    for name in written:
        Path(name).unlink()
    printed = result.stdout + result.stderr
    if result.exception is not None and not isinstance(result.exception, SystemExit | click.ClickException):
        return repr(result.exception)
    if "Traceback" in printed or "a mistake in keyturn" in printed:
        return printed[-600:]
    if result.exit_code not in range(6):
        return f"exit code {result.exit_code}"
    return "a secret is printed" if canary.found([SECRET], {"printed": printed.encode()}) else ""


def all_of(kind: str) -> dict[str, object]:
    """Run every case of a kind."""
    wrong: dict[str, str] = {}
    slowest, count = ("", 0.0), 0
    for case in KINDS[kind]():
        began = time.monotonic()
        if told := run(case):
            wrong[case[0]] = told
        slowest = max(slowest, (case[0], time.monotonic() - began), key=lambda one: one[1])
        count += 1
    # Not ru_maxrss, which includes the size of the process that started this one.
    most = int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]) // 1024
    return {"count": count, "wrong": wrong, "slowest": slowest, "memory": most}


if __name__ == "__main__":
    print(json.dumps(all_of(sys.argv[1])))
