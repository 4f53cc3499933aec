"""The findings of the security review as a table: what a stranger could do before, and what happens now."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

FINDING = "finding"
"""The name of the marker, and of the property in which a test says which finding it is about."""

FINDINGS = {
    "H1": "`existing` without a smoke-check copies, plants and deletes any secret",
    "H2": "`regenerate` overwrites fields of others",
    "H3": "owner, records and claims are words of the manifest",
    "H4": "a saved plan does not bind the targets",
    "H5": "a plan sends any readable value to the inference API",
    "H6": "a login goes to a stranger's namespace or auth mount",
    "H7": "the examples install unpinned packages beside write tokens",
    "M1": "a forged record commands the account",
    "M2": "file targets and records reach outside the repository",
    "M3": "two spellings of one place count as two places",
    "M4": "targets have no size limit and no deadline for a whole answer",
    "M5": "one list of permitted origins for all credentials",
    "M6": "the brakes are in the file that they brake",
    "M7": "the example workflows promise more than the forge gives",
    "M8": "no security policy, threat model or SBOM",
    "M9": "the manifest's ca_cert outranks the operator's",
    "L1": "validate is quadratic in wrong names",
    "L2": "a dotenv file hangs a plan",
    "L3": "a ca_cert that is no regular file waits for ever",
    "L4": "commands of a CI log in JSON output",
    "L5": "a proxy gets a bearer token in clear",
    "L6": "a pasted secret is repeated",
    "L7": "the value of a variable is shown in a plan",
    "L8": "output files follow symbolic links",
    "L9": "a web page can use the sandbox",
    "L10": "an absurd Date header loses an answered mint",
    "L11": "an answer that cannot be decoded counts as a mistake of keyturn",
    "L12": "a documented endpoint is refused",
    "L13": "core dumps and SSLKEYLOGFILE",
    "L14": "a target is imported from a hostile checkout",
    "L15": "a file loses the group that reads it",
    "L16": "dependencies that nothing imports",
    "L17": "Pulumi's state is code",
    "L18": "another user disables the quick take-over",
    "B1": "`existing` in two steps: a secret out of another key's delivery",
    "B2": "a pool takes API keys that are no spares",
    "B4": "records that a commit could forge are not noticed",
    "B5": "a record makes any field a delivery",
    "B6": "an empty field that was declared is ours for ever",
    "B7": "smaller gaps of manifests and targets",
    "D1": "slow clients silence the health of a run",
    "D2": "chained freezes hold a rotation back for ever",
    "D3": "one receiver stops every key",
    "D4": "a forged notebook mutes a receiver",
    "D5": "a credential plugin without bounds",
    "D7": "an absurd moment in a record ends every report",
}
"""Each finding in one line."""


def note(items: Sequence[pytest.Item]) -> None:
    """Let each marked test carry its findings in its report: `@pytest.mark.finding(number, before=…, now=…)`."""
    for item in items:
        for mark in item.iter_markers(FINDING):
            (number,) = mark.args
            assert number in FINDINGS, number
            item.user_properties.append((FINDING, (number, mark.kwargs["before"], mark.kwargs["now"])))


def show(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the table of the findings whose tests were run."""
    rows = list(lines(terminalreporter.stats))
    if rows:
        terminalreporter.section("security: finding, before, now")
        for row in rows:
            terminalreporter.write_line(row)


def lines(stats: Mapping[str, Sequence[object]]) -> Iterator[str]:
    """Lay out each finding with what its tests say; a finding with a failed test is BAD."""
    found: dict[str, dict[tuple[str, str], set[str]]] = {}
    for outcome, reports in stats.items():
        for report in reports if outcome in {"passed", "failed", "error"} else ():
            for name, value in getattr(report, "user_properties", ()):
                if name == FINDING:
                    number, before, now = value
                    found.setdefault(number, {}).setdefault((before, now), set()).add(outcome)
    for number, title in FINDINGS.items():
        for index, ((before, now), outcomes) in enumerate(sorted(found.get(number, {}).items())):
            if not index:
                yield f"{number:4} {title}"
            yield f"     before: {before}"
            yield f"     now:    {now if outcomes == {'passed'} else 'BAD'}"
