"""The html page in windows of several sizes, with notes of all that it asks for and complains of."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from tests.support.outcomes import NOW

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Dialog, Page, Request

Scheme = Literal["light", "dark"]
SIZES = {"desktop": (1280, 900), "phone": (390, 844)}
"""Width and height of each window, in CSS pixels."""


@dataclass
class Views:
    """Windows with a page each. `requests`: addresses other than the page's own and data; `complaints`: errors."""

    browser: Browser
    folder: Path
    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    _open: list[BrowserContext] = field(default_factory=list)

    def show(self, html: str, size: str = "desktop", scheme: Scheme = "light", **settings: Any) -> Page:  # noqa: ANN401 - playwright's own
        """Load a page from a file, four minutes after the moment that the tests' documents have."""
        file = self.folder / "status.html"
        file.write_text(html, encoding="utf-8")
        width, height = SIZES[size]
        context = self.browser.new_context(
            viewport={"width": width, "height": height}, color_scheme=scheme, offline=True, **settings
        )
        self._open.append(context)
        page = context.new_page()
        page.set_default_timeout(60_000)
        page.clock.set_fixed_time(NOW + timedelta(minutes=4))
        page.on("request", self._note(file.as_uri()))
        page.on("console", lambda message: self.complaints.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("dialog", self._refuse)
        page.goto(file.as_uri())
        return page

    def close(self) -> None:
        """Close every window."""
        for context in self._open:
            context.close()

    def _refuse(self, dialog: Dialog) -> None:
        self.complaints.append("dialog")
        dialog.dismiss()

    def _note(self, own: str) -> Any:  # noqa: ANN401 - a listener of playwright
        def note(request: Request) -> None:
            if request.url != own and not request.url.startswith("data:"):
                self.requests.append(request.url)

        return note
