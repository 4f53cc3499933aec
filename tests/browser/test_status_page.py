"""The html page of `status` in Chromium: forty keys in all conditions, on a desktop and a phone, light and dark.

`SCREENSHOTS=write` writes the pictures in docs/images again.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from axe_playwright_python.sync_playwright import Axe

from keyturn.core.reasons import Condition
from keyturn.core.results import PoolState
from keyturn.report.documents import StatusDocument
from keyturn.report.html import status_html
from tests.browser.views import SIZES, Scheme, Views
from tests.support.fleet import fleet
from tests.support.hostile import NAMES
from tests.support.outcomes import NOW, REASONS, statuses, unowned

if TYPE_CHECKING:
    from collections.abc import Sequence

    from playwright.sync_api import Page

IMAGES = Path(__file__).parent.parent.parent / "docs/images"
LARGEST = 200_000
"""Bytes of a picture."""
VIEWS = [(size, scheme) for size in SIZES for scheme in ("light", "dark")]
PNG = b"\x89PNG\r\n"


@pytest.mark.parametrize(("size", "scheme"), VIEWS)
def test_the_page_in_each_view(views: Views, size: str, scheme: Scheme) -> None:
    """It fits the window closed and open, axe finds nothing serious in it, and its picture is kept."""
    page = views.show(status_html(fleet()), size, scheme)
    assert page.locator("details.key").count() == 40
    assert page.title() == "16 of 40 keys need attention · keyturn"
    _fits(page)
    picture = IMAGES / f"status-{size}-{scheme}.png"
    shot = page.screenshot(path=picture if os.environ.get("SCREENSHOTS") == "write" else None)
    assert shot.startswith(PNG)
    kept = picture.read_bytes()
    assert kept.startswith(PNG)
    assert len(kept) < LARGEST
    page.get_by_role("button", name="Open all").click()
    page.get_by_text("later moments").click()
    assert page.locator("details:not([open])").count() == 0
    _fits(page)
    page.get_by_role("button", name="Close all").click()
    for number in (0, 39):
        page.locator("summary:has(.name)").nth(number).click()
    assert _serious(page) == []


def test_keyboard_alone(views: Views) -> None:
    """Tab, arrows, slash and Enter choose a condition, filter, and open a key."""
    page = views.show(status_html(fleet()))
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "only-all"
    page.keyboard.press("ArrowRight")
    assert _seen(page) == ["checkout-bot", "fraud-scoring"]
    assert page.locator("#shown").inner_text() == "2 of 40 shown"
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("/")
    page.keyboard.type("Sealed vault tuning")
    assert _seen(page) == ["lab-tuning"]
    page.keyboard.press("Escape")
    assert len(_seen(page)) == 40
    page.keyboard.type("checkout-bot")
    assert page.locator("#shown").inner_text() == "1 of 40 shown"
    _tab_to(page, "SUMMARY")
    page.keyboard.press("Enter")
    key = page.locator("details.key[open]")
    assert key.locator(".name").inner_text() == "checkout-bot"
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.ariaLabel") == "Copy keyturn apply checkout-bot --verify"
    page.keyboard.press("Enter")
    copied = page.locator("details.key[open] .copy").first
    copied.get_by_text("Copied").or_(copied.get_by_text("Selected")).wait_for()
    page.keyboard.press("/")
    page.keyboard.type(" nothing like this")
    assert (page.locator("#shown").inner_text(), _seen(page)) == ("No key matches", [])


@pytest.mark.parametrize("condition", Condition)
def test_counts_filter_without_a_script(script_free: Page, condition: Condition) -> None:
    """Each count is that of the keys that it leaves; what only a script can do is not offered."""
    label = script_free.locator(f"label[for=only-{condition}]")
    label.click()
    assert label.inner_text().split() == [condition.value, str(len(_seen(script_free)))]
    assert script_free.locator(".group:visible").count() == 1
    assert script_free.locator("#filter:visible, #toggle:visible, .copy").count() == 0


@pytest.fixture(scope="module")
def script_free(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:  # noqa: ANN401 - playwright's own
    """The page in a browser that runs no script."""
    made = Views(browser, tmp_path_factory.mktemp("page"))
    yield made.show(status_html(fleet()), java_script_enabled=False)
    made.close()


def test_few_keys_that_need_attention_are_open(views: Views) -> None:
    """With few problems the next step is seen at once; a page without any says so."""
    whole = fleet()
    wrong = StatusDocument(NOW, 1, (*whole.keys[:1], *(key for key in whole.keys if not key.exit_code)))
    page = views.show(status_html(wrong))
    assert page.locator("details.key[open] .name").all_inner_texts() == ["checkout-bot"]
    assert page.locator("code.cmd").first.is_visible()
    fine = views.show(status_html(StatusDocument(NOW, 0, tuple(key for key in whole.keys if not key.exit_code))))
    assert fine.locator("h1").inner_text() == "24 keys, nothing wrong"
    assert fine.locator("details.key[open]").count() == 0
    empty = views.show(status_html(StatusDocument(NOW, 0, ())))
    assert empty.locator("h1").inner_text() == "No keys"


HOSTILE = (
    *(name for name in NAMES if "\ud800" not in name),
    "<script>alert(1)</script>",
    '"><img src=http://127.0.0.1:9/x onerror=alert(1)>',
    "</style></script><svg onload=alert(1)>",
    "`keyturn rotate bot; rm -rf ~`",
    "javascript:alert(1)",
)


def test_hostile_names_stay_text(views: Views) -> None:
    """Whatever a stranger calls a key: no element, request or dialog comes of it, and the page still fits."""
    plain = views.show(_named(["because"] * len(HOSTILE)), "phone")
    page = views.show(_named(HOSTILE), "phone")
    assert _elements(page)["SCRIPT"] == 1
    assert set(_elements(page)) == set(_elements(plain))
    assert page.locator("details.key").count() == plain.locator("details.key").count()
    assert "<script>alert(1)</script>" in page.locator("details.key .name").all_inner_texts()
    assert plain.locator("code.cmd").count() > 0
    assert page.locator("code.cmd").count() == 0, "no command with such a name is offered to copy"
    page.get_by_role("button", name="Open all").click()
    _fits(page)


def test_the_policy_of_the_page_holds(views: Views) -> None:
    """If a script or an address came into the page, it would not run, and nothing would be sent: the tests can fail."""
    smuggled = "<script>document.title='owned'</script><img src='http://127.0.0.1:9/x'><p onclick='alert(1)'>x</p>"
    page = views.show(status_html(fleet()).replace("</main>", smuggled + "</main>"))
    assert page.title() != "owned"
    page.get_by_text("x", exact=True).click()
    refused = [text for text in views.complaints if "Content Security Policy" in text]
    assert len(refused) == 3
    assert len(views.complaints) == 3
    views.complaints.clear()
    views.requests.clear()


def _named(names: Sequence[str]) -> str:
    """Return a page with a key of each name, as its id, owner, API key, place, reason; and as a pool and a stop."""
    found = tuple(Condition)
    keys = [
        replace(one, key=name, owner=name, code=REASONS[one.condition])
        for number, name in enumerate(names)
        for one in [statuses(name)[number % len(found)]]
    ]
    pools = tuple(PoolState(name, 1, 2) for name in names)
    return status_html(StatusDocument(NOW, 1, tuple(keys), unowned(names[0]), pools, tuple(names), keyturn=names[0]))


def _fits(page: Page) -> None:
    """Nothing is wider than the window."""
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def _serious(page: Page) -> list[str]:
    """Return what axe finds that is serious or critical."""
    found = Axe().run(page).response["violations"]
    bad = [one for one in found if one["impact"] in {"serious", "critical"}]
    return [f"{one['id']}: {node['html'][:200]}" for one in bad for node in one["nodes"]]


def _seen(page: Page) -> list[str]:
    return page.locator("details.key:visible .name").all_inner_texts()


def _tab_to(page: Page, kind: str) -> None:
    for _ in range(10):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.tagName") == kind:
            return
    raise AssertionError(f"no {kind} within ten steps")


def _elements(page: Page) -> dict[str, int]:
    """Count the elements of each kind."""
    found: dict[str, int] = page.evaluate(
        "[...document.querySelectorAll('*')].reduce((n, e) => ({...n, [e.tagName]: (n[e.tagName] ?? 0) + 1}), {})"
    )
    return found
