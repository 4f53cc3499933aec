"""PURE: drafts a policy that allows exactly what the present manifests do."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import timedelta

import yaml

from keyturn.core.model import Desired, DesiredKey, Strategy
from keyturn.core.permits import literal
from keyturn.core.schedule import thawed
from keyturn.manifest.durations import show_duration
from keyturn.manifest.policy import VERSION, TimingRule
from keyturn.manifest.violations import address, api_names, needed, programs

_HEAD = """\
# What manifests of keyturn may do. Keep this file where nobody who writes a manifest can change it.
# keyturn reads it if `--policy FILE` or the variable KEYTURN_POLICY names it. What it leaves out is not allowed.
# In patterns, * is any text without /, ** is any text, ? is one character. Reference: docs/policy.md
"""
_PLAIN = re.compile(r"(?:[A-Za-z/]|\d+[dhms])[\w.:/#@ -]*", re.ASCII)


def draft(manifests: Iterable[Desired]) -> str:
    """Return the text of a policy that allows these manifests and nothing else."""
    owners = {literal(desired.owner): _rule(desired) for desired in manifests}
    data = {"apiVersion": VERSION, "owners": owners}
    return _HEAD + yaml.dump(
        data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100, default_flow_style=None
    )


def _rule(desired: Desired) -> dict[str, object]:
    deliveries = (literal(str(item)) for key in desired.keys for item in key.deliveries)
    return {
        "records": {"target": desired.records.target, "prefix": desired.records.prefix},
        "names": _Lines(dict.fromkeys(name for key in desired.keys for name in _names(key))),
        "targets": {target.name: {"type": target.type, **target.settings} for target in desired.targets},
        "deliver": _Lines(dict.fromkeys(deliveries)),
        "allow": list(dict.fromkeys(word for key in desired.keys for word, _ in needed(key))),
        "commands": _Lines(dict.fromkeys(program for _, program in programs(desired))),
        "notify": _Lines(dict.fromkeys(literal(address(receiver)) for receiver in desired.receivers)),
        "limits": {
            "rotations": desired.rotations_per_run,
            "deletes": sum(len(api_names(key)) for key in desired.keys if key.absent),
            "removals": 0,
        },
        "timing": {name: show_duration(bound) for name, bound in _times(desired).items()},
    }


def _names(key: DesiredKey) -> Iterable[str]:
    yield from map(literal, api_names(key))
    if key.pool:
        yield f"{literal(key.pool.prefix)}**"


def _times(desired: Desired) -> dict[str, timedelta]:
    timing = {name: timedelta(seconds=getattr(desired.timing, name)) for name in ("settle", "lease", "request")}
    overlaps = [key.rotation.overlap for key in desired.keys if key.rotation.strategy is Strategy.ALTERNATING]
    rotations = [key.rotation.every for key in desired.keys if key.rotation.every]
    every = {"every": min(rotations)} if rotations else {}
    lasting = [thawed(desired.freezes, one.since) - one.since for one in desired.freezes]
    freeze = {"freeze": max(lasting)} if lasting else {}
    return {**timing, "overlap": min(overlaps, default=TimingRule().overlap), **every, **freeze}


class _Lines(list[str]):
    """A list with one line per item."""


class _Dumper(yaml.SafeDumper):
    """Quotes every text that the reader of manifests could take for another type."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=None if _PLAIN.fullmatch(text) else '"')


def _lines(dumper: yaml.SafeDumper, lines: _Lines) -> yaml.SequenceNode:
    return dumper.represent_sequence("tag:yaml.org,2002:seq", lines, flow_style=not lines)


_Dumper.add_representer(str, _text)
_Dumper.add_representer(_Lines, _lines)
