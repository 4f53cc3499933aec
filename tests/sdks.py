"""The SDKs, from the schema: `python -m tests.sdks` writes them, `tests/engine/test_sdks.py` compares them.

Python's is a part of `pulumi_keyturn`. Go's and TypeScript's are in `sdk/`. Needs Go.
"""

from __future__ import annotations

import ast
import json
import shutil
import sys
import tempfile
from pathlib import Path

from tests.generated import ROOT, SCHEMA, package_schema
from tests.support.go_program import built
from tests.support.process import bare_environment, run

GENERATOR = ROOT / "tests/engine/sdks"
PYTHON = Path("provider/pulumi_keyturn/sdk")
HOMES = {"python": PYTHON, "nodejs": Path("sdk/nodejs"), "go": Path("sdk/go")}
"""The folder of each language. All files below it are generated."""
OVERLAID = ("_get_semver_version", "get_resource_args_opts")
"""Functions of the Python SDK that `pulumi_keyturn/overlay.py` has in place of the generated ones."""
LEFT_OUT = frozenset({".gitattributes", ".gitignore", "setup.py", "pyproject.toml", "README.md"})
"""Files that no user of the SDK needs: the repository has its own."""


def sdks() -> dict[Path, str]:
    """Return every file of every SDK, its path from the root of the repository. Raises NoGo and RuntimeError."""
    found = {home / path: text for language, home in HOMES.items() for path, text in sdk(language).items()}
    utilities = PYTHON / "_utilities.py"
    found[utilities] = overlaid(found[utilities])
    return found


def sdk(language: str, server: str = "") -> dict[Path, str]:
    """Return the files of an SDK by their paths. `server` is where engines download its plugin, if anywhere.

    Raises NoGo and RuntimeError.
    """
    schema = json.loads(package_schema())
    if server:
        schema["pluginDownloadURL"] = server
    if language == "python":
        schema["language"]["python"]["packageName"] = "pulumi_keyturn.sdk"
    with tempfile.TemporaryDirectory() as folder:
        done = run([built(GENERATOR), language, folder], env=bare_environment(), stdin=json.dumps(schema))
        if done.returncode:
            raise RuntimeError(f"{language}: {done.stderr}")
        root = Path(folder, "pulumi_keyturn.sdk") if language == "python" else Path(folder)
        paths = [path for path in sorted(root.rglob("*")) if path.is_file() and path.name not in LEFT_OUT]
        return {path.relative_to(root): path.read_text(encoding="utf-8") for path in paths}


def overlaid(text: str) -> str:
    """Return a Python module that imports the functions of the overlay, in place of its own."""
    lines = text.splitlines(keepends=True)
    own = {node.name: node for node in ast.parse(text).body if isinstance(node, ast.FunctionDef)}
    for name in sorted(OVERLAID, key=lambda name: -own[name].lineno):
        lines[own[name].lineno - 1 : own[name].end_lineno] = [f"from pulumi_keyturn.overlay import {name}\n"]
    return "".join(line for line in lines if not line.startswith("from parver "))


def main() -> int:
    """Write the schema and all SDKs, and remove files that are no longer generated."""
    made = {SCHEMA: package_schema(), **sdks()}
    for home in HOMES.values():
        shutil.rmtree(ROOT / home, ignore_errors=True)
    for path, text in made.items():
        (ROOT / path).parent.mkdir(parents=True, exist_ok=True)
        (ROOT / path).write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
