"""The credential plugin of a kubeconfig: a program of the operator, run without a terminal and within a bound."""

from __future__ import annotations

import json
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from keyturn.core.errors import CredentialError
from keyturn.targets.kubernetes_login import Login, login

SERVER = "https://here.example.com:6443"
PLUGIN = """#!{python}
import json, os, sys
asked = json.loads(os.environ["KUBERNETES_EXEC_INFO"])
assert asked["spec"] == {{"interactive": False}} and sys.stdin.read() == ""
with open({log!r}, "a") as log:
    log.write(" ".join(sys.argv[1:] + [os.environ["ADDED"]]) + "\\n")
number = len(open({log!r}).readlines())
print(json.dumps({{"apiVersion": asked["apiVersion"], "kind": "ExecCredential",
                   "status": {{"token": "token-%d" % number, "expirationTimestamp": "2030-01-01T00:00:00Z"}}}}))
"""


def opened(folder: Path, script: str, seconds: float = 20) -> Login:
    """A login by a plugin that lies beside the kubeconfig."""
    plugin = folder / "plugin"
    plugin.write_text(script)
    plugin.chmod(0o700)
    user = {
        "exec": {
            "apiVersion": "client.authentication.k8s.io/v1beta1",
            "command": "./plugin",
            "args": ["get", "token"],
            "env": [{"name": "ADDED", "value": "yes"}],
        }
    }
    config = {
        "current-context": "here",
        "clusters": [{"name": "one", "cluster": {"server": SERVER}}],
        "users": [{"name": "me", "user": user}],
        "contexts": [{"name": "here", "context": {"cluster": "one", "user": "me"}}],
    }
    (folder / "config").write_text(json.dumps(config))
    return login(SERVER, {"KUBECONFIG": str(folder / "config"), "PATH": "/usr/bin:/bin"}, seconds)


def test_a_plugin_prints_a_token_and_is_asked_again_after_a_refusal(tmp_path: Path) -> None:
    """It gets the arguments and variables of the kubeconfig; its token is kept until the server refuses it."""
    log = tmp_path / "log"
    found = opened(tmp_path, PLUGIN.format(python=sys.executable, log=str(log)))
    assert [found.token(), found.token()] == ["token-1", "token-1"]
    assert found.token(refused="token-1") == "token-2"
    assert log.read_text() == "get token yes\n" * 2


@pytest.mark.parametrize(
    ("script", "why"),
    [
        ("#!/bin/sh\necho hush-hush >&2; exit 7\n", "exit code 7"),
        ("#!/bin/sh\necho hush-hush\n", "no ExecCredential"),
        ('#!/bin/sh\necho \'{"status": {"token": ""}}\'\n', "gave no token"),
        ("#!/nonexistent/interpreter\n", "FileNotFoundError"),
    ],
)
def test_a_plugin_that_fails_is_one_sentence(tmp_path: Path, script: str, why: str) -> None:
    """Without its output, which may hold a credential."""
    with pytest.raises(CredentialError, match=why) as caught:
        opened(tmp_path, script).token()
    assert "hush-hush" not in str(caught.value)


@pytest.mark.finding(
    "D5", before="a plugin's output filled the memory", now="a mebibyte, and the deadline of a request"
)
@pytest.mark.parametrize(
    ("script", "why"),
    [
        ("exec sleep 60", "it did not end within"),
        ("sleep 60", "it did not end within"),
        ("sleep 60 &", "it did not end within"),
        ("exec >&-; exec sleep 60", "it did not end within"),
        ("exec yes", "more than 1048576 bytes of output"),
        ("yes & yes", "more than 1048576 bytes of output"),
    ],
)
def test_a_plugin_is_bounded_with_all_that_it_starts(tmp_path: Path, script: str, why: str) -> None:
    """In time and in size; what it started does not go on."""
    mark = f"KEYTURN_TEST={tmp_path.name}"
    begun = time.monotonic()
    with pytest.raises(CredentialError, match=why):
        opened(tmp_path, f"#!/bin/sh\nexport {mark}\n{script}\n", seconds=1).token()
    assert time.monotonic() - begun < 15
    while left := _running(mark):
        assert time.monotonic() - begun < 20, left
        time.sleep(0.02)


def _running(mark: str) -> list[str]:
    """Return the processes that have this in their environment, but for those that are only to be waited for."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if mark.encode() in (folder / "environ").read_bytes():
                found.append(folder.name)
    return found
