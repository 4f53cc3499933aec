"""The edges, through the command line: pasted secrets, output files, proxies, plug-ins of a checkout, the process."""

from __future__ import annotations

import re
import stat
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from keyturn.sandbox import Sandbox
from tests.support.process import bare_environment, run
from tests.support.raw_http import RawServer, reply

if TYPE_CHECKING:
    from tests.cli.conftest import Stage

KEYTURN = (sys.executable, "-m", "keyturn.cli")
SECRET = "sk-do-" + "Pasted0123456789abcdefghijklmnop" * 2
TOKEN = "dop_v1_" + "0123456789abcdef" * 4
LOCAL = """
apiVersion: keyturn/v1
name: here
targets: {{out: {{type: {kind}, root: .}}}}
records: {{target: local}}
keys:
  bot:
    adopt: {{secret: regenerate}}
    rotation: {{strategy: in-place, every: 90d}}
    smoke: {{model: llama3.3-70b-instruct}}
    deliver: [{{target: out, path: app.env, field: KEY}}]
"""


@pytest.mark.finding(
    "L6",
    before="a secret that was pasted as an option, an argument, a reason or a key's name was printed again",
    now="[secret]",
)
@pytest.mark.parametrize("pasted", [SECRET, TOKEN, f"--{SECRET}"])
def test_a_pasted_secret_is_not_repeated(stage: Stage, pasted: str) -> None:
    """Neither on stdout nor on stderr; the command line is wrong, so nothing is done."""
    for args in (
        ("adopt", "checkout-bot", "--secret"),
        ("smoke", "--secret"),
        ("apply",),
        ("apply", "--unpark"),
        ("apply", "--plan"),
        ("adopt",),
        ("history",),
        ("plan", "--format"),
        ("plan", "-f"),
        ("rotate", "checkout-bot", "--yes", "--reason"),
        ("rotate", "checkout-bot", "--lock-timeout"),
        ("sandbox", "--port"),
        (),
    ):
        done = stage.run(*args, pasted, code=3)
        assert pasted.removeprefix("--")[:16] not in done.output + done.stderr, args
    assert not any(seen.mutating for seen in stage.sandbox.requests)


def test_a_reason_with_a_secret_in_it_is_refused(stage: Stage) -> None:
    """It would stay in the key's history; one that only names a prefix is none."""
    stage.make_keys()
    stage.run("apply", "--yes")
    said = stage.run("rotate", "checkout-bot", "--yes", "--reason", f"leaked: '{SECRET}'", code=3).stderr
    assert "--reason holds something that looks like a secret" in said
    stage.run("rotate", "report-bot", "--yes", "--reason", "a secret that starts with sk-do- has leaked")
    assert "a secret that starts with sk-do- has leaked" in stage.run("history", "report-bot").stdout


def test_a_key_that_is_named_by_a_secret_is_not_shown(stage: Stage) -> None:
    """Someone pasted a secret into the wrong field of the control panel."""
    stage.make_keys()
    stage.sandbox.panel_create(SECRET)
    for form in ("text", "json"):
        shown = stage.run("status", "--all", "--format", form, code=None).stdout
        assert "[secret]" in shown
        assert SECRET[:16] not in shown


@pytest.mark.finding(
    "L8",
    before="plan --out wrote through a symbolic link, readable by everyone",
    now="a link is refused; the file is written whole, mode 0600",
)
def test_a_saved_plan_is_written_through_no_link(stage: Stage) -> None:
    """What a checkout brings along as a link is left alone, and so is a device; a file is replaced whole."""
    stage.make_keys()
    victim = stage.folder / "victim"
    victim.write_text("before")
    out = stage.folder / "p.json"
    out.symlink_to(victim)
    for place in (out, Path("/dev/null"), stage.folder / "gone" / "p.json"):
        said = stage.run("plan", "--out", str(place), code=3).stderr
        assert str(place) in said
    assert victim.read_text() == "before"
    out.unlink()
    out.write_text("an older plan")
    out.chmod(0o644)
    stage.run("plan", "--out", str(out))
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    assert not list(stage.folder.glob(".p.json*"))
    stage.run("apply", "--plan", str(out), "--yes")


@pytest.mark.finding(
    "L5",
    before="with HTTP_PROXY or ALL_PROXY, the token for an API on this machine went to the proxy in clear",
    now="plain http goes to this machine directly",
)
def test_a_proxy_never_sees_a_token(tmp_path: Path) -> None:
    """The sandbox is asked directly; the proxy is not asked at all."""
    (tmp_path / "keyturn.yaml").write_text(LOCAL.format(kind="dotenv"))
    with RawServer(reply(502)) as proxy, Sandbox() as sandbox:
        sandbox.panel_create("bot")
        through = dict.fromkeys(("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy", "HTTPS_PROXY"), proxy.url)
        done = run([*KEYTURN, "apply", "--yes"], env=bare_environment(**sandbox.exports, **through), cwd=tmp_path)
        assert (done.returncode, proxy.requests) == (0, []), done.stderr
        assert sandbox.requests


def test_a_proxy_gets_only_a_tunnel_to_a_remote_api(tmp_path: Path) -> None:
    """It sees the host's name; a proxy that cannot be one is an error in one sentence, without its password."""
    (tmp_path / "keyturn.yaml").write_text(LOCAL.format(kind="dotenv"))
    variables = {"DIGITALOCEAN_TOKEN": TOKEN, "KEYTURN_API_URL": "https://api.example"}
    with RawServer(reply(403, "", {"Connection": "close"})) as proxy:
        env = bare_environment(**variables, HTTPS_PROXY=proxy.url)
        assert run([*KEYTURN, "plan"], env=env, cwd=tmp_path).returncode == 1
        assert proxy.requests
        assert proxy.requests[0].startswith(b"CONNECT api.example:443")
        assert TOKEN.encode() not in b"".join(proxy.requests)
    wrong = run([*KEYTURN, "plan"], env=bare_environment(**variables, HTTPS_PROXY="gopher://u:p@h:1"), cwd=tmp_path)
    assert wrong.returncode == 3
    assert wrong.stderr == "Error: HTTPS_PROXY: this is not the URL of a proxy.\n"


@pytest.mark.finding(
    "L14",
    before="python -m keyturn.cli, or PYTHONPATH=., imported a target that a checkout brought along",
    now="a package below the manifest's or the current directory is not imported unless it is installed",
)
@pytest.mark.parametrize(("name", "kind"), [("keyturn-evil", "evil"), ("keyturn-evil", "vault"), ("keyturn", "dotenv")])
@pytest.mark.parametrize("where", ["in it", "above it", "elsewhere"])
def test_a_target_of_a_checkout_is_not_imported(tmp_path: Path, name: str, kind: str, where: str) -> None:
    """Not when it names a kind of its own, nor beside ours, nor in the place of the distribution of keyturn."""
    checkout = tmp_path / "checkout"
    info = checkout / f"{name.replace('-', '_')}-9.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 9\n")
    (info / "entry_points.txt").write_text(f"[keyturn.targets]\n{kind} = evil_target:Target\n")
    (checkout / "evil_target.py").write_text("import pathlib\npathlib.Path(__file__).with_name('PWNED').touch()\n")
    (checkout / "keyturn.yaml").write_text(LOCAL.format(kind=kind))
    (checkout / "below").mkdir()
    (checkout / "below/keyturn.yaml").write_text(LOCAL.format(kind=kind))
    cwd, file = {
        "in it": (checkout, "keyturn.yaml"),
        "above it": (tmp_path, "checkout/keyturn.yaml"),
        "elsewhere": (Path("/"), str(checkout / "keyturn.yaml")),
    }[where]
    env = bare_environment(PYTHONPATH=str(checkout))
    done = run([*KEYTURN, "validate", "-f", file], env=env, cwd=cwd)
    assert done.returncode == 3
    assert re.search(r"is not installed|several packages", done.stderr), done.stderr
    assert not (checkout / "PWNED").exists()


PROBE = """
import ctypes, os, resource, sys
from keyturn.cli import main
try:
    main(sys.argv[1:])
except SystemExit as end:
    code = end.code
dumpable = ctypes.CDLL(None).prctl(3, 0, 0, 0, 0) if sys.platform == "linux" else 0
print(code, resource.getrlimit(resource.RLIMIT_CORE), dumpable, os.environ.get("SSLKEYLOGFILE"))
"""


@pytest.mark.finding(
    "L13",
    before="a crash could dump secrets into a file, a debugger could read them, SSLKEYLOGFILE was honoured",
    now="no core dump, not dumpable (Linux), SSLKEYLOGFILE is ignored, with a line that says so",
)
def test_the_process_keeps_its_memory_to_itself(tmp_path: Path) -> None:
    """Whatever the command; help needs none of it."""
    (tmp_path / "keyturn.yaml").write_text(LOCAL.format(kind="dotenv"))
    env = bare_environment(SSLKEYLOGFILE=str(tmp_path / "keys.log"))
    done = run([sys.executable, "-c", PROBE, "validate"], env=env, cwd=tmp_path)
    assert done.stdout.splitlines()[-1] == "0 (0, 0) 0 None", done.stderr
    assert done.stderr == "SSLKEYLOGFILE is ignored: it would write the keys of every TLS connection to a file.\n"
    assert not (tmp_path / "keys.log").exists()
    assert run([*KEYTURN, "validate"], env=bare_environment(), cwd=tmp_path).stderr == ""


SPY = "import pathlib\npathlib.Path(__file__).with_name('TOLD').touch()\nplugin = None\n"
PARSES = "import pydantic; pydantic.TypeAdapter(int)"


def test_no_plugin_of_pydantic_is_loaded(tmp_path: Path) -> None:
    """A plugin of an installed package is told of all that is parsed, and keyturn parses answers with secrets."""
    info = tmp_path / "spy-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: spy\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[pydantic]\nspy = spy:plugin\n")
    (tmp_path / "spy.py").write_text(SPY)
    (tmp_path / "keyturn.yaml").write_text(LOCAL.format(kind="dotenv"))
    env = bare_environment(PYTHONPATH=str(tmp_path), PYDANTIC_DISABLE_PLUGINS="")
    assert run([*KEYTURN, "validate"], env=env, cwd=tmp_path).returncode == 0
    plugin = f"from keyturn_provider.plugin import main, serve; serve.serve = lambda: None; main.main(); {PARSES}"
    assert run([sys.executable, "-c", plugin], env=env).returncode == 0
    assert not (tmp_path / "TOLD").exists()
    assert run([sys.executable, "-c", PARSES], env=env).returncode == 1  # TypeError: what it offers is no plugin
    assert (tmp_path / "TOLD").exists()


@pytest.mark.finding(
    "L4",
    before="in JSON on a CI log, ##[ and ##vso[ in a key's name stood as they are",
    now="a # of them is written as \\u0023: the log has no command, a parser reads the same name",
)
def test_json_on_a_ci_log_commands_nothing(stage: Stage) -> None:
    """For the document on stdout and for a saved plan."""
    names = ["##[error]owned", "##vso[task.setvariable variable=x]y", "::set-output name=x::y", "###[x"]
    stage.make_keys(*names)
    text = stage.run("status", "--all", "--format", "json", code=None).stdout
    assert not re.search(r"##\w*\[", text)
    assert not re.search(r"^\s*::", text, re.MULTILINE)
    found = stage.json("status", "--all", code=None)["unowned"]
    assert {key["name"] for key in found} >= set(names)
