"""The stage of the command line's tests: a sandbox, a shared OpenBao, the quickstart's manifest."""

from __future__ import annotations

from tests.cli.conftest import nursery, stage

__all__ = ["nursery", "stage"]
