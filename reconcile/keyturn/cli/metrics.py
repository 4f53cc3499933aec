"""The status of all keys as a file of metrics, and as a document for pages."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from keyturn.cli.files import write_private
from keyturn.cli.session import Opened
from keyturn.core.reasons import mixed
from keyturn.core.results import Options, RunStatus
from keyturn.report.documents import StatusDocument

READABLE = 0o644
"""Node exporter runs as another user."""

Render = Callable[[StatusDocument], str]


def write_metrics(path: Path, manifests: Sequence[Opened], render: Render | None = None) -> None:
    """Read the status of all keys of these manifests, and replace the file as a whole, readable by every user.

    `render` is `keyturn.report.openmetrics.status_openmetrics` by default. Raises InputError if it cannot be written.
    """
    runs = [one.runner.status((), Options()) for one in manifests]
    document = status_of(runs, datetime.now(UTC))
    write_private(path, (render or report("openmetrics"))(document), mode=READABLE)


def status_of(runs: Sequence[RunStatus], at: datetime) -> StatusDocument:
    """Return the document of these runs, as they were seen at this moment."""
    keys = tuple(key for run in runs for key in run.keys)
    pools = tuple(pool for run in runs for pool in run.pools)
    stopped = tuple(run.stopped for run in runs if run.stopped)
    return StatusDocument(at, mixed(run.exit_code for run in runs), keys, None, pools, stopped)


def report(name: str) -> Render:
    """Return `status_<name>` of `keyturn.report.<name>`, which is imported at its first use."""

    def render(document: StatusDocument) -> str:
        text = getattr(importlib.import_module(f"keyturn.report.{name}"), f"status_{name}")(document)
        assert isinstance(text, str)  # noqa: S101 - a module of ours
        return text

    return render
