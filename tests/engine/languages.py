"""The languages of programs on the full provider: their hosts, and what their programs import. Built once, and kept."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from tests.generated import ROOT
from tests.sdks import HOMES
from tests.support.go_program import NoGo, built, find, go, locked
from tests.support.process import bare_environment, run

HERE = Path(__file__).parent
NODE = HERE / "nodejs"
GO = HERE / "golang"
SDK = "github.com/pulumi/pulumi/sdk/v3"
HOSTS = {
    "yaml": (HERE / "yaml", "github.com/pulumi/pulumi-yaml", "cmd/pulumi-language-yaml", "pkg/version.Version"),
    "nodejs": (NODE, SDK, "nodejs/cmd/pulumi-language-nodejs", "go/common/version.Version"),
    "go": (GO, SDK, "go/pulumi-language-go", "go/common/version.Version"),
}
"""The module of each language's host, the library that it is in, its package there, and the variable of its version."""
SDK_PATH = "../../../../sdk/go"
"""The SDK from the module of the program in Go, which names it so."""
BUILT = ("bin", "node_modules", "package-lock.json")
TSC = "node_modules/.bin/tsc"
LONGEST = 300
"""Seconds that the libraries of TypeScript may take."""

NoLanguage = NoGo
"""What a language needs is not on this machine."""


def host(language: str) -> Path:
    """Return the language host, building it if needed. Raises NoLanguage and RuntimeError."""
    module, library, package, variable = HOSTS[language]
    version = go(find(language), module, "list", "-m", "-f", "{{.Version}}", library)
    return built(module, f"{library}/{package}", linked=f"-s -w -X {library}/{variable}={version}")


def node_modules() -> Path:
    """Return the folder of the libraries of TypeScript programs: the locked ones, and the SDK as npm gets it.

    Raises NoLanguage and RuntimeError.
    """
    npm = shutil.which("npm")
    if npm is None:
        raise NoLanguage("`npm` was not found, so no program in TypeScript can run; install Node.js")
    sdk = ROOT / HOMES["nodejs"]
    sources = sorted([*NODE.glob("*.json"), *NODE.glob("*.ts"), *_files(sdk)])
    digest = hashlib.sha256(b"\0".join(path.read_bytes() for path in sources)).hexdigest()[:16]
    cache = NODE / ".build"
    with locked(cache):
        home = cache / f"modules-{digest}"
        if not home.is_dir():
            for old in cache.glob("modules-*"):
                shutil.rmtree(old)
            with tempfile.TemporaryDirectory(dir=cache) as folder:
                _install(npm, Path(folder) / "made", sdk)
                (Path(folder) / "made").rename(home)
    return home / "node_modules"


def _install(npm: str, made: Path, sdk: Path) -> None:
    made.mkdir()
    for name in ("package.json", "package-lock.json", "index.ts", "tsconfig.json"):
        shutil.copy(NODE / name, made)
    _do(made, npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund")
    install_typescript({path.relative_to(sdk): path.read_text() for path in _files(sdk)}, made)
    _do(made, str(made / TSC), "--noEmit")


def install_typescript(sdk: Mapping[Path, str], project: Path) -> None:
    """Install the files of an SDK into a project in TypeScript, as npm gets them. Raises RuntimeError."""
    ours = project / "node_modules/pulumi-keyturn"
    with tempfile.TemporaryDirectory(dir=project) as folder:
        for path, text in sdk.items():
            (Path(folder) / path).parent.mkdir(exist_ok=True, parents=True)
            (Path(folder) / path).write_text(text)
        _do(Path(folder), str(project / TSC), "--outDir", str(ours))
        shutil.copy(Path(folder, "package.json"), ours)


def _do(folder: Path, *arguments: str) -> None:
    done = run(arguments, cwd=folder, env=bare_environment(), seconds=LONGEST)
    if done.returncode:
        raise RuntimeError(f"{' '.join(arguments[:2])} failed:\n{done.stdout[-1500:]}{done.stderr[-1500:]}")


def types_of(folder: Path) -> str:
    """Return what the compiler says about the types of a project in TypeScript; empty if they are right."""
    done = run([folder / TSC, "--noEmit"], cwd=folder, env=bare_environment(), seconds=LONGEST)
    return done.stdout


def go_files() -> dict[str, str]:
    """Return the files of the program in Go by their names. They fit any folder: the SDK is named by its whole path."""
    module = GO / "program"
    files = {name: (module / name).read_text() for name in ("go.mod", "go.sum", "main.go")}
    return {**files, "go.mod": files["go.mod"].replace(SDK_PATH, str((module / SDK_PATH).resolve()))}


def go_program() -> Path:
    """Return the program in Go, built with the SDK, which fills Go's cache. Raises NoLanguage and RuntimeError."""
    return built(GO / "program", beside=_files(ROOT / HOMES["go"]))


def _files(sdk: Path) -> list[Path]:
    """Return the files of an SDK without what a user may have built there."""
    return sorted(path for path in sdk.rglob("*") if path.is_file() and not {*BUILT} & {*path.relative_to(sdk).parts})
