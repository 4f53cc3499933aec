"""The demo's script. Each chapter runs a command, shows a few lines, and proves the result without keyturn."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Self

import httpx

from keyturn.core.errors import KeyturnError
from keyturn.demo.fixture import Bao
from keyturn.report.documents import ReportDocument, parse_report
from keyturn.report.lines import Line, Span, Tone, line

PATH = "apps/checkout/inference"
OTHER_PATH = "apps/report/inference"
FIELD = "MODEL_ACCESS_KEY"
MODEL = "llama3.3-70b-instruct"
OVERLAP_SECONDS = 3.2


Show = Callable[[list[Line]], None]
Run = Callable[[Sequence[str]], tuple[int, str]]
"""Runs one command. Returns its exit code and its standard output."""


class Script:
    """The chapters of the demo, for a running OpenBao and a running sandbox."""

    def __init__(self, show: Show, run: Run, bao: Bao, url: str, manifest: Path) -> None:
        """Take the functions that show lines and run a command, and the servers. `url` is the sandbox's."""
        self._show = show
        self._run = run
        self._bao = bao
        self._manifest = manifest
        self._http = httpx.Client(base_url=url, timeout=5, trust_env=False)
        self._start = time.monotonic()
        self._seen: list[str] = []

    def play(self) -> str:
        """Play all chapters and return the last line. Raises KeyturnError if a result is not as expected."""
        with self._http:
            self._tell(f"OpenBao {self._bao.version} and a sandbox DigitalOcean are running here, only for this demo.")
            self._made_in_the_panel()
            self._adopted()
            self._rotated()
            self._renamed()
            self._deleted()
            return self._proof()

    def _made_in_the_panel(self) -> None:
        self._chapter("Three keys are created in the control panel: today only an operator can do that")
        for name in ("checkout-bot-a", "checkout-bot-b", "report-bot"):
            made = self._http.post("/_sandbox/keys", json={"name": name})
            self._seen.append(made.raise_for_status().json()["secret"])
            self._tell(name)

    def _adopted(self) -> None:
        self._chapter("Adopted, delivered, smoke-checked: keyturn apply")
        self._command("apply", "--yes")
        self._expect(self._ask(self._delivered()) == httpx.codes.OK, "the delivered secret is accepted")
        self._overlap()
        dead = all(self._ask(secret) == httpx.codes.UNAUTHORIZED for secret in self._seen)
        self._expect(dead, "the three secrets that the operator saw are dead")

    def _rotated(self) -> None:
        self._chapter("Rotated without an outage: keyturn rotate checkout-bot")
        old = self._delivered()
        with _Consumer(self._bao, self._http) as consumer:
            self._command("rotate", "checkout-bot", "--reason", "demo", "--yes")
            self._expect(self._delivered() != old, "the delivered secret is new")
            self._overlap()
        self._expect(self._ask(old) == httpx.codes.UNAUTHORIZED, "the old secret is dead")
        self._expect(
            consumer.asked > 0 and not consumer.refused,
            f"no outage: a consumer sent {consumer.asked} requests meanwhile; {consumer.refused} were refused",
        )

    def _overlap(self) -> None:
        """Let the overlap pass and retire the old secret."""
        time.sleep(OVERLAP_SECONDS)
        self._tell("after the overlap: keyturn apply")
        self._command("apply", "--yes")

    def _renamed(self) -> None:
        self._chapter("Renamed: the manifest says checkout-bot-prod, keyturn apply")
        self._edit("    name: checkout-bot ", "    name: checkout-bot-prod ")
        before = self._delivered()
        self._command("apply", "--yes")
        self._expect(self._delivered() == before, "a rename does not change the secret")

    def _deleted(self) -> None:
        self._chapter("Deleted: report-bot is absent, keyturn apply --allow-delete 1")
        self._edit("    name: report-bot\n", "    state: absent\n")
        self._command("apply", "--allow-delete", "1", "--yes")
        self._expect(FIELD not in self._bao.fields(OTHER_PATH), "its delivery is gone")
        alive = [key["name"] for key in self._http.get("/_sandbox/state").json()["keys"] if not key["deleted_at"]]
        self._expect("report-bot" not in alive, f"the account has {' and '.join(sorted(alive))}")

    def _proof(self) -> str:
        self._chapter("Is the secret in OpenBao accepted? Tested over plain HTTP, without keyturn")
        start = time.monotonic()
        status = self._ask(self._delivered())
        took = (time.monotonic() - start) * 1000
        self._expect(status == httpx.codes.OK, f"HTTP {status} for a completion by {MODEL} in {took:.0f} ms")
        self._tell(f"total time: {time.monotonic() - self._start:.0f} s")
        return f"The delivered secret was accepted (HTTP {status} for a completion by {MODEL})."

    def _delivered(self) -> str:
        """Return the secret in OpenBao. It is never shown."""
        return self._bao.fields(PATH)[FIELD]

    def _ask(self, secret: str) -> int:
        return _complete(self._http, secret)

    def _edit(self, before: str, after: str) -> None:
        text = self._manifest.read_text(encoding="utf-8")
        self._manifest.write_text(text.replace(before, after), encoding="utf-8")

    def _command(self, name: str, *args: str) -> None:
        """Run a keyturn command in this process and show its report."""
        start = time.monotonic()
        code, out = self._run([name, *args, "--file", str(self._manifest), "--format", "json", "--quiet"])
        if code:
            raise KeyturnError(f"`keyturn {name}` ended with exit code {code}", remedy="Please report this.")
        for told in _told(parse_report(out, where=name)):
            self._show([told])
        self._tell(f"exit code 0 in {time.monotonic() - start:.1f} s")

    def _chapter(self, title: str) -> None:
        self._show([line(), line(Span(title, Tone.HEAD))])

    def _tell(self, text: str) -> None:
        self._show([line(f"  {text}")])

    def _expect(self, holds: bool, what: str) -> None:  # noqa: FBT001 - the condition is the sentence's own
        if not holds:
            raise KeyturnError(f"the demo could not prove: {what}")
        self._show([line("  ", Span("proven", Tone.GOOD), f": {what}")])


class _Consumer:
    """A consumer: a program that uses the delivered secret all the time."""

    def __init__(self, bao: Bao, http: httpx.Client) -> None:
        self._bao = bao
        self._http = http
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, name="demo-consumer")
        self.asked = 0
        self.refused = 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _work(self) -> None:
        while not self._stop.wait(0.05):
            status = _complete(self._http, self._bao.fields(PATH)[FIELD])
            self.asked += 1
            self.refused += status != httpx.codes.OK


def _complete(http: httpx.Client, secret: str) -> int:
    """Request a completion with a bare secret. Return the status."""
    body = {"model": MODEL, "messages": [{"role": "user", "content": "ping"}], "max_tokens": 16}
    return http.post("/v1/chat/completions", json=body, headers={"Authorization": f"Bearer {secret}"}).status_code


def _told(document: ReportDocument) -> list[Line]:
    """Return one line per key that was changed."""
    result: list[Line] = []
    for run in document.runs:
        for key in run.reports:
            if not key.done:
                continue
            words = ", ".join(dict.fromkeys(change.change.value for change in key.done))
            checked = f"; smoke-check {key.smoke.verdict.value}" if key.smoke else ""
            result.append(line("  ", Span(key.key, Tone.NAME), f": {words}{checked}; {key.end.condition.value}"))
    return result
