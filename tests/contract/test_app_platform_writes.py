"""App Platform: how its target sends a whole spec, and what it does about other writers and lost answers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import ClassVar

import pytest

from keyturn.core.errors import TargetMisfit, TargetUnavailable
from keyturn.core.secret import Secret
from keyturn.sandbox import Sandbox
from keyturn.targets.app_platform import AppPlatformTarget
from keyturn.targets.base import TargetContext
from tests.contract.place_app_platform import AppPlatformPlace
from tests.contract.test_deliveries import FIELD, FOREIGN, NEW, OLD
from tests.contract.test_documents import free
from tests.support.http_server import Handler, HttpServer
from tests.unit.test_app_spec import EV, SPEC


@pytest.fixture
def place() -> Iterator[AppPlatformPlace]:
    """A sandbox of the test's own, whose clock moves only by hand."""
    with Sandbox(seed=1) as sandbox:
        made = AppPlatformPlace(sandbox)
        yield made
        made.close()


def test_what_somebody_changes_beside_ours_is_kept(place: AppPlatformPlace) -> None:
    """The spec that is sent is the one of this moment, not the one that a preflight has seen."""
    path, target = place.path(), place.target()
    mine = target.write_marked(path, FIELD, OLD, "", free)
    target.preflight(path, FIELD)
    app = place.app(path)
    changed = json.loads(json.dumps(app.spec))
    changed["services"][1]["instance_count"], changed["envs"][1]["value"] = 3, "changed"
    place.send(app.id, changed)
    target.write_marked(path, FIELD, NEW, mine, free)
    stored = json.loads(json.dumps(place.app(path).spec))
    assert (stored["services"][1]["instance_count"], stored["envs"][1]["value"]) == (3, "changed")


def test_two_components_of_one_app_at_once(place: AppPlatformPlace) -> None:
    """Neither write takes away the other one's, also by two targets."""
    path = place.path()
    app = place.app(path)
    place.sandbox.change(latency=0.02)
    places = [path, f"{app.name}/mailer", f"{app.name}/api"]
    target, other = place.target(), place.target()
    markers = [target.read(one, FIELD).version for one in places]
    with ThreadPoolExecutor(4) as pool:
        written = list(
            pool.map(
                lambda at, marker: (other if "mailer" in at else target).write_marked(at, FIELD, NEW, marker, free),
                places,
                markers,
            )
        )
    assert [target.read(one, FIELD).version for one in places] == written


class _Recorder(Handler):
    """One app, whose spec is a text that is served as it is; a spec that is sent is recorded."""

    sent: ClassVar[list[bytes]] = []
    spec = SPEC

    def _answer(self) -> None:
        body = self.body()
        text = self.spec
        if self.command == "PUT":
            self.sent.append(body)
            text = body.decode()[len('{"spec": ') : -1].replace(NEW.reveal(), "EV[1:bmV3:bmV3]")
        listed = f'{{"deployments": [], "apps": [{{"id": "{ID}", "spec": {{"name": "checkout"}}}}], '
        content = f'{listed}"app": {{"id": "{ID}", "spec": {text}}}}}'.encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_PUT = _answer  # noqa: N815  # the names that http.server calls


ID = "4f6c71e2-1e90-4762-9fee-6cc4a0a9f2cf"


@contextmanager
def recorder() -> Iterator[str]:
    """Serve the app; give the URL."""
    _Recorder.sent.clear()
    with HttpServer(_Recorder) as server:
        yield server.address


ANY = {"KEYTURN_ALLOWED_PLACES": "app-platform=*"}


def test_every_other_byte_of_the_spec_stays() -> None:
    """Blanks, numbers, escapes and unknown fields go back as they came."""
    with recorder() as url:
        target = AppPlatformTarget(
            TargetContext("apps", {}, {"KEYTURN_API_URL": url, "DIGITALOCEAN_TOKEN": "dop_v1_x"} | ANY)
        )
        before = target.read("checkout/web", FIELD).version
        target.write_marked("checkout/web", FIELD, NEW, before, free)
        target.close()
    assert _Recorder.sent == [f'{{"spec": {SPEC.replace(EV, NEW.reveal())}}}'.encode()]


@pytest.mark.parametrize("fault", ["html-error", "error-500", "dropped-request"])
def test_what_is_no_answer_to_a_write_is_ambiguous(place: AppPlatformPlace, fault: str) -> None:
    """It may still happen. Nothing of it is repeated."""
    path = place.path()
    place.sandbox.arm("update-app", fault)
    with pytest.raises(TargetUnavailable) as caught:
        place.target().write_marked(path, FIELD, NEW, "", free)
    assert caught.value.ambiguous
    assert NEW.reveal() not in f"{caught.value!r} {caught.value}"


@pytest.mark.parametrize("fault", ["truncated-json", "lost-response"])
def test_a_write_that_was_stored_without_an_answer_is_recognised(place: AppPlatformPlace, fault: str) -> None:
    """The app has the spec that was sent, with a ciphertext that it did not have: no second deployment starts."""
    path, target = place.path(), place.target()
    first = target.write_marked(path, FIELD, OLD, "", free)
    place.sandbox.arm("update-app", fault)
    second = target.write_marked(path, FIELD, NEW, first, free)
    assert first != second == target.read(path, FIELD).version
    assert (place.held(path), place.writes(path)) == (NEW.reveal(), 3)


def test_another_spec_is_not_taken_for_the_one_that_was_sent(place: AppPlatformPlace) -> None:
    """Someone else wrote after a write that got no answer: nobody knows whose value is there."""
    path, target = place.path(), place.target()
    target.read(path, FIELD)
    place.sandbox.arm("update-app", "error-500")
    read = target._apps.read
    calls = iter([False, True])

    def overtaken(app: str) -> object:
        if next(calls):
            changed = place.spec(path)
            changed["services"][1]["envs"].append({"key": FIELD, "type": "SECRET", "value": FOREIGN})
            changed["services"][1]["instance_count"] = 9
            place.send(place.app(path).id, changed)
        return read(app)

    target._apps.read = overtaken  # type: ignore[method-assign, assignment]
    with pytest.raises(TargetUnavailable) as caught:
        target.write_marked(path, FIELD, NEW, "", free)
    assert caught.value.ambiguous
    assert place.held(path) == FOREIGN


def test_a_refused_spec_is_definite_and_repeats_nothing(place: AppPlatformPlace) -> None:
    """The status and the id of the error are told, and where to look."""
    path = place.path()
    place.sandbox.arm("update-app", "error-422")
    with pytest.raises(TargetMisfit, match="422, unprocessable_entity") as caught:
        place.target().write_marked(path, FIELD, Secret(FOREIGN), "", free)
    assert not caught.value.ambiguous
    assert place.held(path) is None
    assert place.count("update-app") == 1


def test_an_api_that_accepts_any_update_is_told() -> None:
    """Then its refusal proves nothing, and nothing is made."""
    with recorder() as url:
        target = AppPlatformTarget(
            TargetContext("apps", {}, {"KEYTURN_API_URL": url, "DIGITALOCEAN_TOKEN": "dop_v1_x"} | ANY)
        )
        with pytest.raises(TargetMisfit, match="accepted an update of an app that cannot be there"):
            target.preflight("checkout/web", FIELD)
        target.close()


@pytest.mark.parametrize(
    "variable",
    [
        '"value": []',
        '"value": "EV[1:bmV3:\\ud800]"',
        f'"value": "x", "value": "{EV}"',
    ],
)
def test_a_variable_that_no_api_shows_is_refused_before_a_write(monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    """By an error of keyturn's own: the preflight finds it, and nothing is sent."""
    envs = f'[{{"key": "{FIELD}", "type": "SECRET", {variable}}}]'
    spec = f'{{"name": "checkout", "services": [{{"name": "web", "envs": {envs}}}]}}'
    monkeypatch.setattr(_Recorder, "spec", spec)
    with recorder() as url:
        target = AppPlatformTarget(
            TargetContext("apps", {}, {"KEYTURN_API_URL": url, "DIGITALOCEAN_TOKEN": "dop_v1_x"} | ANY)
        )
        for call in (lambda: target.preflight("checkout/web", FIELD), lambda: target.read("checkout/web", FIELD)):
            with pytest.raises(TargetMisfit, match=r"not shown encrypted|cannot be changed"):
                call()
        target.close()
    assert not _Recorder.sent
