"""Where manifests come from: several files, directories, standard input; and the names of their keys for a shell."""

from __future__ import annotations

import io
import time
from pathlib import Path

import click
import pytest

from keyturn.cli import main
from keyturn.cli.files import sources
from keyturn.cli.key_names import complete
from keyturn.core.errors import InputError, ManifestError
from keyturn.manifest import Text, base_of, expand, load_all

ONE = """
apiVersion: keyturn/v1
name: {name}
targets: {{env: {{type: dotenv, root: ./secrets}}}}
records: {{target: local}}
keys:
  {name}-bot:
    deliver: [{{target: env, path: {name}.env, field: KEY}}]
    smoke: {{model: m, expect_models: [x]}}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with two manifests, one.yaml and more/two.yaml, as the working directory."""
    monkeypatch.chdir(tmp_path)
    Path("more").mkdir()
    Path("one.yaml").write_text(ONE.format(name="one"))
    Path("more/two.yaml").write_text(ONE.format(name="two"))
    return tmp_path


def test_several_files_and_directories(folder: Path) -> None:
    """In the order given, each with its own base."""
    files = expand([Path("more"), Path("one.yaml")])
    assert files == (Path("more/two.yaml"), Path("one.yaml"))
    assert [base_of(file) for file in files] == [Path("more"), Path()]
    assert [desired.owner for desired in load_all(files, {})] == ["two", "one"]


@pytest.mark.parametrize("again", ["one.yaml", "./one.yaml", "more/../one.yaml", "link.yaml"])
def test_a_manifest_that_is_named_twice_is_refused(again: str, folder: Path) -> None:
    """However it is written, also through its directory."""
    Path("link.yaml").symlink_to("one.yaml")
    with pytest.raises(InputError, match="named twice"):
        expand([Path("one.yaml"), Path(again)])
    with pytest.raises(InputError, match=r"more/two.yaml: this manifest is named twice"):
        expand([Path("more"), Path("more/two.yaml")])


def test_a_manifest_on_standard_input(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its mistakes have lines; its relative paths begin at the working directory."""
    given = io.TextIOWrapper(io.BytesIO(ONE.format(name="in").encode()))
    monkeypatch.setattr("sys.stdin", given)
    files = sources(("-", "one.yaml"))
    assert [desired.owner for desired in load_all(files, {})] == ["in", "one"]
    assert base_of(files[0]) == Path()
    with pytest.raises(ManifestError, match="<stdin>:1:1: apiVersion: is required"):
        load_all([Text(b"name: x")], {})
    with pytest.raises(ManifestError, match="<stdin>:1:1: the file is larger than 1024 KiB"):
        load_all([Text(b"#" * (1024 * 1024 + 1))], {})
    with pytest.raises(InputError, match="standard input is named twice"):
        sources(("-", "-"))


def test_the_mistakes_of_all_files_are_told(folder: Path) -> None:
    """One wrong file hides no other, and names may not be repeated across files."""
    Path("bad.yaml").write_text("a: b: c")
    Path("twin.yaml").write_text(ONE.format(name="one"))
    with pytest.raises(ManifestError) as caught:
        load_all([Path("bad.yaml"), Path("missing.yaml"), Path("one.yaml"), Path("twin.yaml")], {})
    text = str(caught.value)
    assert "bad.yaml:1:5: not YAML" in text
    assert "missing.yaml: there is no such file" in text
    assert "twin.yaml" in text


def names(*args: str, typed: str = "") -> list[str]:
    """Return what a shell is told after `keyturn ARGS`, for the word that is being typed."""
    from click.shell_completion import ShellComplete

    return [item.value for item in ShellComplete(main, {}, "keyturn", "_X").get_completions(list(args), typed)]


@pytest.mark.parametrize(
    "args", [["plan"], ["rotate"], ["smoke"], ["history"], ["status"], ["adopt"], ["apply", "--unpark"], ["apply"]]
)
def test_key_names_are_completed(args: list[str], folder: Path) -> None:
    """From the manifest that -f names, wherever a key is meant; a key that is there already is not repeated."""
    assert names("-f", "one.yaml", *args) == ["one-bot"]
    assert names("-f", "more", *args) == ["two-bot"]
    Path("keyturn.yaml").write_text("keys: {a: {smoke: {model: m}}, ab: &x [1, {keys: {no: 1}}], b: *x}\nother: {c: 1}")
    assert names(*args) == ["a", "ab", "b"]
    assert names(*args, typed="a") == ["a", "ab"]


def test_a_key_is_not_completed_twice(folder: Path) -> None:
    """`keyturn rotate a <Tab>` offers the others."""
    Path("keyturn.yaml").write_text("keys: {a: 1, b: 2}")
    assert names("rotate", "a") == ["b"]


@pytest.mark.parametrize("content", ["", "- a", "keys: [a, b]", "keys: 1", "keys: {a: [", "\x00", "a: b: c"])
def test_no_manifest_no_names_and_no_words(content: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A Tab key has no place for messages."""
    Path("keyturn.yaml").write_text(content)
    found = names("plan")
    assert found in ([], ["a"])
    assert names("plan", "-f", "nowhere.yaml", typed="x") == []
    assert names("plan", "-f", "-", typed="x") == []
    assert capsys.readouterr() == ("", "")


def test_completion_reads_files_only(folder: Path) -> None:
    """A named pipe or a device is left alone, and so is a file without end."""
    context = click.Context(main)
    for path in ("/dev/stdin", "/dev/zero"):
        context.params = {"file": (path,)}
        assert complete(context, click.Argument(["keys"]), "") == []


@pytest.mark.parametrize("keys", ['"bot;touch${IFS}PWN;": {}', '"bot\\e]0;x\\a": {}', '"-rf": {}'])
def test_a_name_that_is_no_key_is_not_completed(folder: Path, keys: str) -> None:
    """A shell puts a completion into the command line as it is."""
    (folder / "hostile.yaml").write_text(f"keys:\n  bot-1: {{}}\n  {keys}\n")
    assert names("-f", "hostile.yaml", "plan") == ["bot-1"]


def test_a_manifest_that_is_nested_without_end_takes_no_time(folder: Path) -> None:
    """The parser would take minutes."""
    (folder / "deep.yaml").write_text("keys: {bot-1: {}}\nx: " + "[" * 1_000_000)
    begun = time.monotonic()
    names("-f", "deep.yaml", "plan")
    assert time.monotonic() - begun < 5
