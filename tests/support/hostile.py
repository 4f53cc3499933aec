"""Names as an attacker would choose them, and what no output may hold whatever the names."""

from __future__ import annotations

import re
import unicodedata

NAMES = (
    "::error::owned",
    " ::set-output name=x::y",
    "x\n::error file=a,line=1::owned",
    "x\r::warning::owned",
    "\x1b::stop-commands::t",
    "##[error]owned",
    "##vso[task.setvariable variable=x]y",
    "\x1b[31mred\x1b[0m",
    "\x1b]8;;https://evil.example\x07click\x1b]8;;\x07",
    "\x9b2J",
    "a\x00b\x07c\x08d\x7f",
    "\u202egnp.exe\u202c",
    "\u2066isolate\u2069",
    "zero\u200bwidth\u200d\ufeff",
    "line\u2028paragraph\u2029next\u0085",
    "[bold red]not bold[/bold red]",
    "[link=https://evil.example]click[/link]",
    "[/]",
    ":smiley:",
    "`code` **bold** _under_ ~~struck~~",
    "```\nfence\n```",
    "``two`` and ` one",
    "| pipe | in | table |",
    "\\| escaped pipe \\\\| twice",
    "<img src=x onerror=alert(1)> &lt; <!-- c -->",
    "[click](https://evil.example) ![i](https://evil.example/i.png)",
    "@everyone #1 https://evil.example",
    "{braces} %s %(x)s $HOME $(id)",
    "lone \ud800 surrogate",
    "x" * 5000,
    "",
    " ",
)

ALLOWED_CONTROLS = frozenset("\n")


def breaches(output: str) -> list[str]:
    """Return what is wrong with an output: raw control or bidi characters, and lines that command a CI runner."""
    raw = [
        f"raw U+{ord(char):04X}"
        for char in output
        if char not in ALLOWED_CONTROLS and unicodedata.category(char) in {"Cc", "Cf", "Cs", "Zl", "Zp"}
    ]
    lines = output.split("\n")
    commands = [f"command {line!r}" for line in lines if line.lstrip().startswith("::") or re.search(r"##\w*\[", line)]
    return raw + commands
