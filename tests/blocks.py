"""The code blocks of the pages, and the commands in them."""

from __future__ import annotations

import re
import shlex
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import click

from tests import pending

ROOT = Path(__file__).parent.parent
SHELL = frozenset({"sh", "bash", "shell", "cron"})
_BLOCK = re.compile(r"^( *)```([\w-]*)[^\n`]*\n(.*?)^ *```", re.DOTALL | re.MULTILINE)
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
_CALL = re.compile(r"(?:^ *|[;|&(] *|' |[A-Z_]+=\S+ )keyturn (?=[a-z-])")
_SPAN = re.compile(r"(?<!`)`(keyturn [^`]+)`(?!`)")
_END = re.compile(r"\s(?:[|;&>#)]|\d?>|&&)")


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, its text without the indent, the heading above it, and the line it begins at."""

    page: str
    line: int
    heading: str
    language: str
    text: str

    @property
    def place(self) -> str:
        """The page and the line."""
        return f"{self.page}:{self.line}"


def pages(root: Path = ROOT) -> list[Path]:
    """Return every page: those at the top, the documentation and the examples' own."""
    found = [*root.glob("*.md"), *(root / "docs").rglob("*.md"), *(root / "examples").rglob("*.md")]
    return sorted(found)


def blocks(page: Path, root: Path = ROOT) -> Iterator[Block]:
    """Yield the fenced blocks of a page."""
    text = page.read_text(encoding="utf-8")
    without = _BLOCK.sub(lambda found: "\n" * found[0].count("\n"), text)
    headings = [(without.count("\n", 0, found.start()) + 1, found[1]) for found in _HEADING.finditer(without)]
    for found in _BLOCK.finditer(text):
        line = text.count("\n", 0, found.start()) + 1
        heading = next((name for at, name in reversed(headings) if at <= line), "")
        yield Block(str(page.relative_to(root)), line + 1, heading, found[2], textwrap.dedent(found[3]))


def calls(page: Path, root: Path = ROOT) -> Iterator[tuple[str, list[str]]]:
    """Yield each call of keyturn on a page with its place: the words behind `keyturn`, from blocks and code spans."""
    text = page.read_text(encoding="utf-8")
    for block in blocks(page, root):
        if block.language in SHELL | {"", "console"}:
            joined = block.text.replace("\\\n", " ")
            for number, typed in enumerate(joined.splitlines()):
                for words in _calls(typed.removeprefix("$ ")):
                    yield f"{block.page}:{block.line + number}", words
    prose = _BLOCK.sub(lambda found: "\n" * found[0].count("\n"), text)
    for found in _SPAN.finditer(prose):
        line = prose.count("\n", 0, found.start()) + 1
        for words in _calls(found[1]):
            yield f"{page.relative_to(root)}:{line}", words


def _calls(line: str) -> Iterator[list[str]]:
    for found in _CALL.finditer(line):
        rest = line[found.end() :]
        end = _END.search(rest)
        text = rest[: end.start()] if end else rest
        try:
            yield shlex.split(text.rstrip(" …"))
        except ValueError:  # a quote that ends behind the call, as in `sh -c 'keyturn plan'`
            yield text.replace("'", "").replace('"', "").split()


def mistake(main: click.Group, words: list[str]) -> str:
    """Return why a call is not one of a command line, empty if it is; a call with a pending word is not judged."""
    if is_pending(words):
        return ""
    command: click.Command = main
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        found = command.get_command(click.Context(command), words[0])
        if found is None:
            return f"there is no command {words[0]}"
        command, words = found, words[1:]
    options = {name: one for one in command.params if isinstance(one, click.Option) for name in one.opts}
    options |= dict.fromkeys(("-h", "--help"), click.Option(["--help"], is_flag=True))
    rest = iter(words)
    for word in rest:
        if not word.startswith("-") or word == "-":
            continue
        name, equals, value = word.partition("=")
        option = options.get(re.sub(r"^-(\w)\1+$", r"-\1", name))
        if option is None:
            return f"{command.name} has no option {name}"
        if option.is_flag or option.count:
            continue
        if not equals and (value := next(rest, "")) == "":
            return f"{name} lacks its value"
        if isinstance(option.type, click.Choice) and not value.isupper() and value not in option.type.choices:
            return f"{name} takes no {value}"
    return ""


def is_pending(words: list[str]) -> bool:
    """Tell whether a call uses a command, an option or a value that is listed as pending."""
    if words and words[0] in pending.COMMANDS:
        return True
    flat = [part for word in words for part in word.split("=")]
    pairs = {f"{words[0]} {word}" for word in flat[1:]} if words else set()
    triples = {f"{words[0]} {a} {b}" for a, b in pairwise(flat[1:])} if words else set()
    return bool(pairs & set(pending.OPTIONS) or triples & set(pending.VALUES))
