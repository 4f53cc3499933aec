"""The canary: no secret that ever existed is found in anything that keyturn printed, logged, saved or recorded."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from keyturn.cli.schema import KINDS, schema_text
from tests.support import canary

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.cli.conftest import Stage

FAULTS = ("error-500", "html-error", "truncated-json", "lost-response")


def leaks(stage: Stage, texts: dict[str, bytes], *others: str) -> list[str]:
    """Return where a secret was found: of the sandbox, dead or alive, or one of `others`."""
    secrets = [*stage.sandbox.state.secrets, stage.sandbox.token, stage.openbao.root_token, *others]
    return canary.found(secrets, texts)


def everything(stage: Stage) -> dict[str, bytes]:
    """Return all that was printed, each file of the folder, each record and claim, and the schemas."""
    texts = printed(stage) | {path.name: path.read_bytes() for path in stage.folder.rglob("*") if path.is_file()}
    texts |= {f"record {path}": json.dumps(held).encode() for path, held in records(stage, f"{stage.prefix}/records/")}
    return texts | {f"schema {kind}": schema_text(kind).encode() for kind in KINDS}


def printed(stage: Stage) -> dict[str, bytes]:
    """Return what the commands printed, to either stream."""
    return {f"printed {number}": text.encode() for number, text in enumerate(stage.printed)}


def records(stage: Stage, folder: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every document below the prefix of the records."""
    names: Any = stage.openbao.call("LIST", f"secret/metadata/{folder}")["data"]
    for name in names["keys"]:
        if name.endswith("/"):
            yield from records(stage, f"{folder}{name}")
        else:
            yield f"{folder}{name}", stage.openbao.call("GET", f"secret/data/{folder}{name}")


def test_the_canary_sings(stage: Stage) -> None:
    """The search itself finds a secret, whole, cut, or encoded; without this the other tests prove nothing."""
    made = stage.sandbox.panel_create("report-bot").secret
    encoded = base64.b64encode(f"Bearer {made}".encode())
    texts = {"whole": f"x{made}y".encode(), "cut": made[4:-4].encode(), "base64": encoded, "clean": b"nothing here"}
    assert leaks(stage, texts) == ["whole", "cut", "base64"]


def test_a_whole_life_leaks_nothing(stage: Stage) -> None:
    """Plans, reports, logs at -vv, saved plans and records of adopting, rotating, drifting and deleting are clean."""
    stage.make_keys()
    stage.run("plan", "--out", "plan.json", "--verify", "-vv")
    stage.run("apply", "--plan", "plan.json", "--yes", "-vv")
    stage.run("rotate", "report-bot", "--compromised", "--reason", "canary", "--yes", "-vv")
    for form in ("text", "json", "markdown"):
        stage.run("plan", "--verify", "--format", form, "-vv")
    for form in ("text", "json", "markdown", "html", "openmetrics"):
        stage.run("status", "--all", "--verify", "--format", form, "-vv", code=None)
    for form in ("text", "json"):
        stage.run("smoke", "--format", form, "-vv")
        stage.run("history", "report-bot", "--format", form)
    stage.run("smoke", "--secret", "stdin", "-vv", stdin=stage.delivered() or "")
    stage.edit("    name: report-bot\n", "    state: absent\n")
    stage.run("apply", "--yes", "--allow-delete", "1", "-vv", code=None)
    texts = everything(stage)
    assert any(name.startswith("record ") for name in texts)
    assert len(stage.sandbox.state.secrets) > 3
    assert leaks(stage, texts) == []


@pytest.mark.parametrize("kind", FAULTS)
def test_errors_leak_nothing(stage: Stage, kind: str) -> None:
    """A mint whose answer is lost, torn, or an HTML page ends in a message without its body, even at -vv."""
    stage.make_keys()
    stage.sandbox.arm("regenerate", kind, times=9)
    answer = stage.run("apply", "report-bot", "--yes", "-vv", code=None)
    assert answer.exit_code in {0, 1}
    assert leaks(stage, everything(stage)) == []


def test_refused_input_leaks_nothing(stage: Stage) -> None:
    """Literal secrets in a manifest and strangers' secrets on standard input are refused without being repeated."""
    typed = "sk-do-" + "Zq7" * 21 + "x"
    token = "dop_v1_" + "0123456789abcdef" * 4
    stage.run("smoke", "--secret", "stdin", "-vv", stdin=typed, code=1)
    stage.make_keys()
    stage.run("adopt", "report-bot", "--secret", "stdin", "--yes", "-vv", stdin=token, code=None)
    stage.run("adopt", "report-bot", "--secret", "stdin", "--yes", "-vv", stdin=typed, code=None)
    stage.edit("model: openai-gpt-oss-20b", f"model: {typed}")
    stage.run("validate", code=3)
    stage.run("plan", "-vv", code=3)
    assert leaks(stage, printed(stage), typed, token) == []


def test_a_crash_leaks_nothing(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """An exception whose text and local variables hold a secret shows its type and its place, even at -vv."""
    secret = stage.sandbox.panel_create("report-bot").secret

    def explode(*_: object, **__: object) -> None:
        local = secret
        raise RuntimeError(f"body: {local}")

    monkeypatch.setattr("keyturn.engine.runner.Runner.plan", explode)
    answer = stage.run("plan", "-vv", code=1)
    assert "RuntimeError" in answer.stderr
    assert Path(__file__).name in answer.stderr
    assert leaks(stage, printed(stage)) == []
    assert "Traceback" not in stage.run("plan", code=1).stderr
