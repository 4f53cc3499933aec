"""One Chromium for all tests of this folder; it loads files of this machine only."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import sync_playwright

from tests.browser.views import Views

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser

NAMES = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)
MISSING = "NO CHROMIUM ON THIS MACHINE: the html page is NOT tested in a browser. Install the package `chromium`."


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """Chromium with a new profile. Without one, the tests are skipped aloud; with CI set, they fail."""
    program = next(filter(None, map(shutil.which, NAMES)), None)
    if program is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(MISSING)
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=program, args=list(FLAGS))
        yield found
        found.close()


@pytest.fixture
def views(browser: Browser, tmp_path: Path) -> Iterator[Views]:
    """Pages of one test; whatever it opened is closed, and no page may have asked for anything but itself."""
    made = Views(browser, tmp_path)
    yield made
    made.close()
    assert made.complaints == []
    assert made.requests == []
