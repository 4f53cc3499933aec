"""`keyturn operator` before it reaches an API server: what it needs, and which words it has for what is missing."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from keyturn.cli import main, operating
from keyturn.targets import kubernetes_login


def run(*args: str) -> Result:
    """Run it; it is wrong, so it ends."""
    return CliRunner().invoke(main, ["operator", *args], prog_name="keyturn")


@pytest.fixture(autouse=True)
def no_pod(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine that is no pod."""
    for name in ("POD_NAME", "POD_NAMESPACE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(kubernetes_login, "SERVICE_ACCOUNT", tmp_path)
    return tmp_path


def test_it_has_to_know_its_namespace() -> None:
    """The records are there, so nothing is guessed."""
    done = run()
    assert done.exit_code == 3
    assert "the namespace of the operator is not known" in done.stderr
    assert "--namespace" in done.stderr


def test_it_has_to_have_a_login() -> None:
    """That of a pod, or a kubeconfig."""
    done = run("--namespace", "keyturn-system")
    assert done.exit_code == 3
    assert "there is no kubeconfig" in done.stderr


def test_a_kubeconfig_without_a_context_is_no_login(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is said in one paragraph."""
    file = tmp_path / "config"
    file.write_text("{}")
    monkeypatch.setenv("KUBECONFIG", str(file))
    done = run("--namespace", "keyturn-system")
    assert done.exit_code == 3
    assert "KUBECONFIG has no usable current context" in done.stderr


def test_the_namespace_is_that_of_the_pod(no_pod: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The option comes first, then the variable, then the file of the service account."""
    (no_pod / "namespace").write_text("of-file\n")
    assert operating.home_of("") == "of-file"
    monkeypatch.setenv("POD_NAMESPACE", "of-variable")
    assert operating.home_of("") == "of-variable"
    assert operating.home_of("of-option") == "of-option"


def test_the_identity_is_that_of_the_pod(monkeypatch: pytest.MonkeyPatch) -> None:
    """Elsewhere no other process has it."""
    assert operating.identity() != operating.identity()
    monkeypatch.setenv("POD_NAME", "keyturn-0")
    assert operating.identity() == "keyturn-0"


def test_an_address_to_listen_on_is_checked_first() -> None:
    """As by `run`."""
    done = run("--namespace", "keyturn-system", "--listen", "8080")
    assert done.exit_code == 3
    assert "must be an address and a port" in done.stderr
