"""The site: `make site` builds these pages, and those at the top and of the examples, into build/site.

The pages are written for a plain git host, with relative links. Nothing in them is for the site alone: the table of
contents is here, and a link to a file that is no page becomes a download.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from pygments.lexers.special import TextLexer
from sphinx.application import Sphinx

ROOT = Path(__file__).parent.parent
CONTENTS = {
    "Use": ("start", "operate", "status", "run", "notices", "consumers", "scale", "faq"),
    "Reference": ("manifest", "cli", "reasons", "environment", "targets", "policy", "pulumi", "kubernetes", "sandbox"),
    "Explanation": ("lifecycle", "security", "../SECURITY"),
    "Where it runs": (
        "../examples/github-actions/README",
        "../examples/gitlab/README",
        "../examples/kubernetes/README",
        "../examples/kubernetes/argocd/README",
        "../examples/kubernetes/flux/README",
        "../examples/systemd/README",
        "../examples/docker/README",
        "../examples/pre-commit/README",
        "../examples/app-platform/README",
        "../examples/consumers/README",
        "../examples/custom-target/README",
    ),
    "Project": ("../README", "../CHANGELOG", "../CONTRIBUTING", "architecture", "simulation"),
}
"""The navigation: a caption and its pages, from docs/. Pages that are not named follow under `More`."""

project = "keyturn"
author = "the keyturn authors"
project_copyright = author
html_title = "keyturn"
extensions = ["myst_parser"]
include_patterns = ["*.md", "docs/**.md", "examples/**.md"]
root_doc = "docs/README"
myst_heading_anchors = 4
myst_links_external_new_tab = False
suppress_warnings = ["myst.header"]  # the changelog may skip a level
html_theme = "furo"
html_show_sphinx = False
html_show_copyright = False
html_copy_source = False
html_theme_options = {"navigation_with_keys": True, "footer_icons": []}
smartquotes = False


def contents(names: set[str]) -> str:
    """Return the table of contents as MyST, for the pages of these names."""
    sections = {caption: list(pages) for caption, pages in CONTENTS.items()}
    named = {name_of(page) for pages in sections.values() for page in pages}
    more = sorted(f"/{name}" for name in names - named - {root_doc})
    sections |= {"More": more} if more else {}
    parts = []
    for caption, pages in sections.items():
        lines = "\n".join(page if page.startswith("/") else f"/{name_of(page)}" for page in pages)
        parts.append(f"```{{toctree}}\n:hidden:\n:caption: {caption}\n\n{lines}\n```\n")
    return "\n".join(parts)


def name_of(page: str) -> str:
    """Return the name that the site has for a page that is written from docs/."""
    return page.removeprefix("../") if page.startswith("../") else f"docs/{page}"


def add_contents(app: Sphinx, name: str, source: list[str]) -> None:
    """Append the table of contents to the index."""
    if name == root_doc:
        source[0] += "\n" + contents(set(app.env.found_docs))


def without_folders(_: Sphinx, name: str, source: list[str]) -> None:
    """Let a link to a folder be its text: a site has no listing of it."""
    here = (ROOT / name).parent

    def plain(found: re.Match[str]) -> str:
        return found[1] if (here / found[2]).is_dir() else found[0]

    source[0] = re.sub(r"\[([^\]\n]+)\]\(([^)#:\s]+)\)", plain, source[0])


def point_to_index(app: Sphinx, error: Exception | None) -> None:
    """Write the page at the root, which leads to the index."""
    if error is None:
        (Path(app.outdir) / "index.html").write_text(
            '<!doctype html><html lang="en"><meta charset="utf-8"><title>keyturn</title>'
            '<meta http-equiv="refresh" content="0; url=docs/README.html">'
            '<a href="docs/README.html">keyturn: documentation</a></html>\n',
            encoding="utf-8",
        )


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the above. Languages that Pygments does not know are plain text."""
    for language in ("cron", "hcl", "mermaid"):
        app.add_lexer(language, TextLexer)
    app.connect("source-read", without_folders)
    app.connect("source-read", add_contents)
    app.connect("build-finished", point_to_index)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
