"""The rules of the house that no other tool knows; `python -m tests.checks` prints each breach and fails."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from tests import english, pages
from tests.generated import ROOT, generated
from tests.sdks import HOMES, OVERLAID

if TYPE_CHECKING:
    from collections.abc import Iterator

LONGEST = 400
CODE = frozenset({".py", ".go", ".html", ".sh", ".ts"})
SECRET_ROOMS = (
    "reconcile/keyturn/core/secret.py",
    "reconcile/keyturn/targets/",
    "reconcile/keyturn/live/digitalocean/",
    "provider/",
)
SHIPPED = ("reconcile/", "provider/")
CALLERS = (*SHIPPED, "examples/")
UNCALLED = {
    "reconcile/keyturn/targets/write_only.py": {"marker_of": "targets of other packages call it"},
    "reconcile/keyturn/cli/connections.py": {"connection_lost": "asyncio calls it"},
    "reconcile/keyturn/cli/root.py": dict.fromkeys(
        (
            "list_commands",
            "get_command",
            "format_commands",
            "shell_complete",
            "invoke",
            "parse_args",
            "resolve_command",
        ),
        "click calls it",
    ),
    "provider/keyturn_provider/plugin/main.py": {"create_module": "Python calls it when it loads a module"},
    "reconcile/keyturn/kube/crds.py": {"encode_default": "pydantic calls it when it makes a schema"},
    "reconcile/keyturn/manifest/parse.py": {
        "load_text": "beside `load` and `load_data`: a manifest that is in no file, for who uses keyturn as a library"
    },
    "reconcile/keyturn/manifest/schema.py": {"encode_default": "pydantic calls it when it makes a schema"},
    "reconcile/keyturn/report/documents.py": {"field_is_required": "pydantic calls it when it makes a schema"},
    "reconcile/keyturn/sandbox/service.py": {"accepts": "public, in docs/sandbox.md: for the tests of others"},
    "reconcile/keyturn/sandbox/serve.py": {"connection_made": "asyncio calls it"},
    "provider/keyturn_provider/plugin/servicer.py": dict.fromkeys(
        (
            "Handshake",
            "GetPluginInfo",
            "GetSchema",
            "GetMapping",
            "GetMappings",
            "Cancel",
            "CheckConfig",
            "DiffConfig",
            "Configure",
            "Invoke",
            "Diff",
            "Update",
            "Delete",
        ),
        "the Pulumi engine calls it",
    ),
    "provider/pulumi_keyturn/overlay.py": dict.fromkeys(OVERLAID, "the generated SDK calls it"),
    "provider/pulumi_keyturn/provider.py": {"diff": "the Pulumi engine calls it"},
}
"""Functions that shipped code does not name, each with who calls it."""
HOOKS = frozenset({"field_validator", "model_validator", "field_serializer", "model_serializer", "command", "group"})
"""Decorators that hand a function over to pydantic or click."""
FOREIGN = re.compile(
    r"py[p]i\.org|python[h]osted\.org|proxy\.g[o]lang\.org|sum\.g[o]lang\.org|registry\.n[p]mjs\.org"  # registries
    r"|--(?:(?:extra-)?index-url|find-links|trusted-host)"  # their settings, in a lock
    r"|(?<![\w./-])/(?:work|root|home/\w+|opt/wheels)/"  # folders of one machine
)


def tracked() -> list[Path]:
    """Return every file that git tracks or would, from the root of the repository."""
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],  # noqa: S607 - git is found on PATH
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    return [Path(name) for name in sorted(set(listing.split("\0"))) if name and (ROOT / name).is_file()]


def files() -> list[Path]:
    """Return the files that the rules are for: all but the SDKs, which are generated."""
    return [path for path in tracked() if not any(path.is_relative_to(home) for home in HOMES.values())]


def short_files() -> Iterator[str]:
    """No file of code is longer than 400 lines: it would be two files."""
    for path in files():
        if path.suffix in CODE and (count := len((ROOT / path).read_text().splitlines())) > LONGEST:
            yield f"{path}: {count} lines are over {LONGEST}"


def secrets_stay_in_their_rooms() -> Iterator[str]:
    """Shipped code opens a Secret only where its bytes must leave."""
    for path in files():
        name = path.as_posix()
        if path.suffix != ".py" or not name.startswith(SHIPPED) or name.startswith(SECRET_ROOMS):
            continue
        for node in ast.walk(ast.parse((ROOT / path).read_text())):
            if isinstance(node, ast.Attribute) and node.attr == "reveal":
                yield f"{path}:{node.lineno}: .reveal() belongs in {', '.join(SECRET_ROOMS)}"


def nothing_foreign() -> Iterator[str]:
    """No file names a package registry or a folder of one machine: the repository builds anywhere."""
    for path in files():
        for number, line in enumerate((ROOT / path).read_text(errors="replace").splitlines(), 1):
            if found := FOREIGN.search(line):
                yield f"{path}:{number}: {found.group()} names a registry or a folder of one machine"


def every_function_is_called() -> Iterator[str]:
    """Shipped code names each of its functions somewhere besides its definition: tests alone keep nothing alive.

    Names are compared, not what they refer to; so a function that shares its name with another may slip through.
    """
    paths = [path for path in files() if path.suffix == ".py" and path.as_posix().startswith(CALLERS)]
    trees = {path.as_posix(): ast.parse((ROOT / path).read_text()) for path in paths}
    named = Counter(name for tree in trees.values() for name in _names(tree))
    for path, tree in trees.items():
        for node in ast.walk(tree) if path.startswith(SHIPPED) else ():
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            known = node.name in UNCALLED.get(path, ()) or re.fullmatch("__.*__", node.name)
            hooked = HOOKS.intersection(name for hook in node.decorator_list for name in _names(hook))
            if not known and not hooked and named[node.name] == Counter(_names(node))[node.name]:
                yield f"{path}:{node.lineno}: {node.name} is called by no shipped code; remove it, or name its caller"


def _names(tree: ast.AST) -> Iterator[str]:
    """Yield each name and each attribute that is used, not those that are imported or defined."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.Attribute):
            yield node.attr


def generated_files_are_fresh() -> Iterator[str]:
    """The schemas, the CLI reference and the picture of the wings are what the code prints."""
    for path, text in generated().items():
        if not (ROOT / path).is_file() or (ROOT / path).read_text() != text:
            yield f"{path}: differs from what the code prints; `make generate` writes it"


def links_lead_somewhere() -> Iterator[str]:
    """Every relative link of every page names a file that exists, and a heading in it; the others have their form."""
    for path in files():
        if path.suffix == ".md":
            yield from pages.broken_links(ROOT, path)
            yield from pages.malformed_links(ROOT, path)


def named_paths_exist() -> Iterator[str]:
    """Every path that a page names in a code span exists."""
    for path in files():
        if path.suffix == ".md" and path.name != "CHANGELOG.md":
            yield from pages.broken_paths(ROOT, path)


def pages_are_in_the_index() -> Iterator[str]:
    """Every page of the documentation is linked from its index."""
    linked = {link.partition("#")[0] for link in pages.links((ROOT / pages.INDEX).read_text(encoding="utf-8"))}
    for path in files():
        if path.suffix == ".md" and path.is_relative_to(pages.INDEX.parent) and path != pages.INDEX:
            name = path.relative_to(pages.INDEX.parent).as_posix()
            if name not in linked:
                yield f"{path}: {pages.INDEX} does not link it"


def modules_are_on_the_map() -> Iterator[str]:
    """Every module has a line in docs/architecture.md."""
    yield from pages.unmapped(ROOT, files())


def plain_english() -> Iterator[str]:
    """No banned phrase stands in a file that was cleaned."""
    for path in files():
        if english.covered(path):
            yield from english.breaches(path, (ROOT / path).read_text(encoding="utf-8"))


CHECKS = (
    short_files,
    secrets_stay_in_their_rooms,
    nothing_foreign,
    generated_files_are_fresh,
    links_lead_somewhere,
    named_paths_exist,
    pages_are_in_the_index,
    modules_are_on_the_map,
    plain_english,
    every_function_is_called,
)


def main() -> int:
    """Run every check; return 1 if one found a breach."""
    breaches = [f"{breach}  [{check.__name__}]" for check in CHECKS for breach in check()]
    print("\n".join(breaches) or f"{len(CHECKS)} rules of the house hold")
    return 1 if breaches else 0


if __name__ == "__main__":
    sys.exit(main())
