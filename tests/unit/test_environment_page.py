"""docs/environment.md names every variable that the code reads, and no other."""

from __future__ import annotations

import ast
import re
from functools import cache

from tests import pending
from tests.blocks import ROOT

PAGE = (ROOT / "docs/environment.md").read_text(encoding="utf-8")
OURS = re.compile(r"(?:KEYTURN|DIGITALOCEAN|VAULT|BAO|AWS|OP_CONNECT|OP_SERVICE_ACCOUNT|GITHUB|GH)_[A-Z][A-Z0-9_]*")
KUBERNETES = ("KUBECONFIG", "KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT", "POD_NAME", "POD_NAMESPACE")
ALSO = frozenset(
    {"NO_COLOR", "PYDANTIC_DISABLE_PLUGINS", "SSLKEYLOGFILE", "XDG_RUNTIME_DIR", "HTTPS_PROXY", "NO_PROXY", *KUBERNETES}
)
"""Variables of the system that the code names."""
BY_A_LIBRARY = frozenset({"SSL_CERT_FILE", "SSL_CERT_DIR"})
"""Read by Python's ssl, which the API client asks for its usual settings."""
FAMILY = "KEYTURN_NOTIFY_"
"""Variables that begin so end with a name of the manifest's."""
PENDING = frozenset(pending.VARIABLES)
NO_VARIABLES = {
    "BAO_ADDR": "another program's; keyturn names the one that it reads instead",
    "BAO_CACERT": "as above",
    "BAO_TOKEN": "as above",
    "DIGITALOCEAN_API_TOKEN": "as above",
    "BAO_DEV_ROOT_TOKEN_ID": "set by the demo for its own OpenBao",
    "KEYTURN_GENERATION": "set for a hook",
    "KEYTURN_KEY": "set for a hook",
    "KEYTURN_OWNER": "set for a hook",
    "KEYTURN_PENDING": "a label of a version in AWS Secrets Manager",
    "KEYTURN_PLACES": "set for a hook",
    "KEYTURN_VAULT": "read by a manifest of the examples, set by the demo",
}
"""Names that look like a variable that keyturn reads."""


@cache
def read_by_the_code() -> frozenset[str]:
    """Return the variables that stand in the code as a whole text, or as the end of one that begins with a prefix."""
    texts: set[str] = set()
    for wing in ("reconcile", "provider"):
        for path in (ROOT / wing).rglob("*.py"):
            texts |= {
                node.value
                for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
                if isinstance(node, ast.Constant) and isinstance(node.value, str)
            }
    return frozenset(text for text in texts if OURS.fullmatch(text) or text in ALSO)


def on_the_page() -> set[str]:
    """Return the variables in the first column of the page's tables, those of a family by its beginning."""
    cells = re.findall(r"^\| (`[^|]+) \|", PAGE, re.MULTILINE)
    names = {name for cell in cells for name in re.findall(r"`([A-Z_]+)`", cell)}
    return {FAMILY if name.startswith(FAMILY) else name for name in names}


def test_every_variable_is_on_the_page() -> None:
    """What the code reads, or names as read."""
    assert read_by_the_code() - NO_VARIABLES.keys() - on_the_page() == set()


def test_every_variable_of_the_page_is_read() -> None:
    """Nobody sets one in vain."""
    assert on_the_page() - read_by_the_code() - BY_A_LIBRARY - PENDING == set()


def test_the_exceptions_are_needed() -> None:
    """A name that the code lost leaves the table."""
    assert NO_VARIABLES.keys() - read_by_the_code() - PENDING == set()
    assert PENDING & read_by_the_code() == set()


def test_what_is_not_read_is_not() -> None:
    """The page says so of these."""
    [line] = re.findall(r"^Not read: (.*)$", PAGE, re.MULTILINE)
    assert set(re.findall(r"`([A-Z_]+)`", line)) & (read_by_the_code() - NO_VARIABLES.keys()) == set()


def test_other_pages_name_no_variable_that_is_not_there() -> None:
    """Neither pages nor examples make one up; the ones that only a manifest of the examples reads are named here."""
    known = on_the_page() | NO_VARIABLES.keys() | {"KEYTURN_NAME", "KEYTURN_OP", "KEYTURN_VAULT_ROLE"}
    wrong = {}
    for page in [ROOT / "README.md", *(ROOT / "docs").glob("*.md"), *(ROOT / "examples").rglob("*.*")]:
        if page.suffix in {".md", ".yml", ".yaml", ".service"} and page != ROOT / "docs/environment.md":
            names = set(re.findall(r"\b(?:KEYTURN|DIGITALOCEAN)_[A-Z][A-Z0-9_]*[A-Z0-9]\b", page.read_text()))
            if made_up := sorted(name for name in names - known if not name.startswith(FAMILY)):
                wrong[str(page.relative_to(ROOT))] = made_up
    assert wrong == {}
