"""The site builds without a warning, and each link in it leads to a page and a place that are in it."""

from __future__ import annotations

import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from tests.blocks import ROOT
from tests.support.process import bare_environment, run


class Page(HTMLParser):
    """The links and the ids of a page, and whatever it would load from elsewhere."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.ids: set[str] = set()
        self.loads: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note what a tag refers to."""
        given = {name: value or "" for name, value in attrs}
        self.ids |= {given["id"]} if "id" in given else set()
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        if tag in {"link", "script", "img"}:
            self.loads += [given[name] for name in ("src", "href") if name in given]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site."""
    folder = tmp_path_factory.mktemp("site")
    sphinx = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-j", "2", "-c", "docs"]
    done = run([*sphinx, "-d", folder / "trees", ".", folder / "html"], cwd=ROOT, env=bare_environment(), seconds=150)
    assert done.returncode == 0, done.stderr
    return folder / "html"


@pytest.mark.timeout(180)
def test_every_link_leads_somewhere(site: Path) -> None:
    """Within the site; a download is a file of it, too. Nothing is loaded from another host."""
    pages = {path: Page(path.read_text(encoding="utf-8")) for path in site.rglob("*.html")}
    assert len(pages) > 30
    broken = []
    for path, page in pages.items():
        assert [url for url in page.loads if "//" in url] == [], path
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc or link in {"", "#"}:
                continue
            there = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if not there.is_file():
                broken.append(f"{path.relative_to(site)}: {link}")
            elif parts.fragment and there in pages and unquote(parts.fragment) not in pages[there].ids:
                broken.append(f"{path.relative_to(site)}: {link}: no such place")
    assert broken == []


def test_every_page_is_in_it(site: Path) -> None:
    """Each page of the documentation, those at the top and those of the examples; the root leads to the index."""
    sources = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").rglob("*.md")]
    missing = [path for path in sources if not (site / path.relative_to(ROOT)).with_suffix(".html").is_file()]
    assert missing == []
    target = re.search(r"url=([^\"]+)", (site / "index.html").read_text())
    assert target
    assert (site / target[1]).is_file()
    index = Page((site / "docs/README.html").read_text())
    assert "start.html" in index.links
