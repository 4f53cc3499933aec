"""The public surface for targets of third parties: one module, its names, and an example that needs nothing else."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from keyturn.targets import base
from keyturn.targets.base import Conflict, Secret, TargetMisfit, TargetUnavailable, Value, merge, secret_of, tries

EXAMPLE = Path(__file__).parents[2] / "examples/custom-target/keyturn_json_directory.py"
PUBLIC = """
    TRIES Capabilities Conflict CredentialError Delayed Document Effect EffectState Guard InputError NoConsent Secret
    Target TargetContext TargetError TargetForbidden TargetMisfit TargetSettings TargetUnavailable Value
    WithoutDeliveries WithoutDocuments WithoutReading WithoutServer WriteOnly check_origins check_path marker_of merge
    origin_mistakes parse_settings proxy_for root_mistakes secret_of tries unguarded with_field
"""
OLD, NEW, OTHER = Secret("sk-do-old"), Secret("sk-do-new"), Secret("sk-do-other")


def test_the_public_names_are_these() -> None:
    """A name that goes breaks the packages of others; a new one is there to stay."""
    assert base.__all__ == PUBLIC.split()
    for name in base.__all__:
        assert hasattr(base, name), name


def test_the_example_needs_no_other_module_of_keyturn() -> None:
    """Anyone who begins with a copy of it depends on what is public only."""
    nodes = list(ast.walk(ast.parse(EXAMPLE.read_text())))
    modules = {node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module}
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    assert {name for name in modules | names if name.startswith("keyturn")} == {"keyturn.targets.base"}


class Shelf:
    """A place of one field; every write is overtaken as often as it is told."""

    def __init__(self, held: Secret | None, overtaken: int = 0) -> None:
        self.held = held
        self.overtaken = overtaken
        self.reads = 0
        self.written: list[Secret | None] = []

    def change(self, secret: Secret | None, expected: Secret | None, **more: object) -> str:
        """Merge a secret in."""

        def read() -> tuple[Value, int]:
            self.reads += 1
            return Value(self.held, f"v{self.reads}"), self.reads

        def write_over(found: int) -> str | None:
            assert found == self.reads
            self.written.append(secret)
            return None if len(self.written) <= self.overtaken else f"w{found}"

        return merge(read, write_over, field="KEY", secret=secret, expected=expected, where="here", **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(("held", "secret"), [(None, NEW), (OLD, NEW), (OLD, None)])
def test_a_field_that_is_as_expected_is_written(held: Secret | None, secret: Secret | None) -> None:
    """Once, and the version is the write's."""
    shelf = Shelf(held)
    assert shelf.change(secret, held) == "w1"
    assert shelf.written == [secret]


@pytest.mark.parametrize(("held", "expected"), [(NEW, OLD), (None, OLD)])
def test_a_field_that_is_as_wanted_is_left_alone(held: Secret | None, expected: Secret) -> None:
    """The version is the one that was read."""
    shelf = Shelf(held)
    assert shelf.change(held, expected) == "v1"
    assert shelf.written == []


@pytest.mark.parametrize(
    ("held", "expected", "evidence"),
    [
        (None, OLD, "absent at version v1"),
        (OTHER, OLD, "another secret at version v1"),
        (OTHER, None, "another secret"),
    ],
)
def test_a_field_that_is_neither_is_a_conflict(held: Secret | None, expected: Secret | None, evidence: str) -> None:
    """Nothing is written, and no secret is repeated."""
    shelf = Shelf(held)
    with pytest.raises(Conflict, match=f"the field KEY was modified concurrently.*{evidence}") as caught:
        shelf.change(NEW, expected)
    assert shelf.written == []
    assert "sk-do" not in str(caught.value)


def test_a_change_of_another_field_is_merged_within_bounds() -> None:
    """Read again and written again, five times at most; then a conflict, or the caller's own error."""
    shelf = Shelf(OLD, overtaken=4)
    assert shelf.change(NEW, OLD) == "w5"
    with pytest.raises(Conflict, match=r"keep changing.*another write was faster 5 times"):
        Shelf(OLD, overtaken=5).change(NEW, OLD)
    with pytest.raises(TargetUnavailable, match="refused"):
        Shelf(OLD, overtaken=5).change(NEW, OLD, overtaken=TargetUnavailable("refused"))


def test_each_pause_is_twice_the_one_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """In seconds; there is none before the first try, and none at all unless asked for."""
    slept: list[float] = []
    monkeypatch.setattr("keyturn.targets.base.time.sleep", slept.append)
    assert list(tries()) == [0, 1, 2, 3, 4]
    assert slept == []
    list(tries(0.5))
    assert slept == [0.5, 1.0, 2.0, 4.0]


def test_an_empty_field_is_absent_and_no_other_value_is_a_secret() -> None:
    """Whatever it holds is not repeated."""
    assert secret_of(None, "KEY", "here") is secret_of("", "KEY", "here") is None
    assert secret_of("sk-do-new", "KEY", "here") == NEW
    for value, kind in ((12345, "int"), (["12345"], "list"), (False, "bool")):
        with pytest.raises(TargetMisfit, match=f"the field KEY does not hold text .*JSON {kind}") as caught:
            secret_of(value, "KEY", "here")
        assert "12345" not in str(caught.value)
    with pytest.raises(TargetMisfit, match="the value does not hold text"):
        secret_of({}, "", "here")
