"""App Platform: how its target sends a whole spec, and what it does about other writers and lost answers."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

import pytest

from keyturn.core.errors import ChangeUndone, TargetMisfit, TargetUnavailable
from keyturn.core.secret import Secret
from keyturn.sandbox import Sandbox
from keyturn.targets.app_platform import AppPlatformTarget
from keyturn.targets.app_platform_apps import Apps
from keyturn.targets.base import Guard, TargetContext
from tests.contract.place_app_platform import AppPlatformPlace
from tests.contract.test_deliveries import FIELD, FOREIGN, NEW, OLD
from tests.contract.test_documents import free
from tests.unit.test_app_spec import EV, SPEC


@pytest.fixture
def place() -> Iterator[AppPlatformPlace]:
    """A sandbox of the test's own, whose clock moves only by hand."""
    with Sandbox(seed=1) as sandbox:
        made = AppPlatformPlace(sandbox)
        yield made
        made.close()


def count(place: AppPlatformPlace, op: str) -> int:
    """Return how many requests of an operation were sent."""
    return sum(seen.op == op for seen in place.sandbox.requests)


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


def overtake(place: AppPlatformPlace, path: str, *numbers: int) -> Guard:
    """Return a guard: before each write, with the next of these numbers, someone else sends the spec changed."""
    left = list(numbers)

    def hold() -> None:
        if left:
            changed = place.spec(path)
            changed["services"][1]["instance_count"] = left[0]
            changed["envs"][1]["value"] = f"changed {left.pop(0)}"
            place.send(place.app(path).id, changed)

    return hold


def ids(place: AppPlatformPlace, path: str, *numbers: int) -> list[str]:
    """Return the ids of these deployments."""
    return [place.app(path).deployments[number].id for number in numbers]


def told(caught: pytest.ExceptionInfo[ChangeUndone]) -> list[str]:
    """Return the ids of the deployments that a message names."""
    return re.findall(r"deployment ([0-9a-f-]{36})", str(caught.value))


def test_what_another_process_changes_at_the_same_moment_is_put_back(place: AppPlatformPlace) -> None:
    """Between our read and our write: its spec is merged with ours, and sent again."""
    path, target = place.path(), place.target()
    target.read(path, FIELD)
    mine = target.write_marked(path, FIELD, NEW, "", overtake(place, path, 5))
    stored = place.spec(path)
    assert (stored["services"][1]["instance_count"], stored["envs"][1]["value"]) == (5, "changed 5")
    assert place.held(path) == NEW.reveal()
    assert target.read(path, FIELD).version == mine
    assert place.writes(path) == 4  # the first one, theirs, and ours twice
    target.remove_marked(path, FIELD, mine, overtake(place, path, 7))
    assert place.spec(path)["envs"][1]["value"] == "changed 7"
    assert place.held(path) is None


def test_what_is_changed_while_another_change_is_put_back_is_told(place: AppPlatformPlace) -> None:
    """The write counts, with its marker. One change is merged; the next one, which that has undone, is named."""
    path, target = place.path(), place.target()
    with pytest.raises(ChangeUndone, match="may have undone") as caught:
        target.write_marked(path, FIELD, NEW, "", overtake(place, path, 5, 6))
    assert told(caught) == ids(place, path, 3)
    assert place.held(path) == NEW.reveal()
    mine = target.read(path, FIELD).version
    assert caught.value.version == mine
    with pytest.raises(ChangeUndone) as caught:
        target.remove_marked(path, FIELD, mine, overtake(place, path, 7, 8))
    assert told(caught) == ids(place, path, 7)
    assert place.held(path) is None


def test_two_changes_at_once_are_told(place: AppPlatformPlace) -> None:
    """Of several, nobody knows whether the last one has the others in it."""
    path, target = place.path(), place.target()

    def twice() -> None:
        overtake(place, path, 5)()
        overtake(place, path, 6)()

    with pytest.raises(ChangeUndone) as caught:
        target.write_marked(path, FIELD, NEW, "", twice)
    assert told(caught) == ids(place, path, 2, 1)
    assert place.writes(path) == 4


def test_a_change_of_the_same_variable_is_told(place: AppPlatformPlace) -> None:
    """Ours is written over it, and that one is named."""
    path, target = place.path(), place.target()
    with pytest.raises(ChangeUndone) as caught:
        target.write_marked(path, FIELD, NEW, "", lambda: place.put(path, FIELD, FOREIGN))
    assert told(caught) == ids(place, path, 1)
    assert place.held(path) == NEW.reveal()


def test_a_change_is_told_if_our_deployment_is_not_listed_yet(place: AppPlatformPlace) -> None:
    """Then every deployment that was not known may be one that ours has undone."""
    path, target = place.path(), place.target()
    target.read(path, FIELD)
    listed, calls = target._apps.deployments, iter([0, 1])
    target._apps.deployments = lambda app: listed(app)[next(calls) :]  # type: ignore[method-assign]
    with pytest.raises(ChangeUndone) as caught:
        target.write_marked(path, FIELD, NEW, "", overtake(place, path, 5))
    assert told(caught) == ids(place, path, 1)


def test_deployments_that_cannot_be_listed_after_a_write_are_told(place: AppPlatformPlace) -> None:
    """Nobody knows what the write has undone."""
    path, target = place.path(), place.target()
    target.read(path, FIELD)

    def break_the_list() -> None:
        place.sandbox.arm("deployments", "error-500")

    with pytest.raises(ChangeUndone, match="could not be listed"):
        target.write_marked(path, FIELD, NEW, "", break_the_list)
    assert place.held(path) == NEW.reveal()


def test_what_a_write_without_an_answer_has_undone_is_told_by_the_next_one(place: AppPlatformPlace) -> None:
    """The spec was stored, and could not be read. The next write knows the deployments of then."""
    path, target = place.path(), place.target()
    target.read(path, FIELD)

    def lose() -> None:
        overtake(place, path, 5)()
        place.sandbox.arm("update-app", "lost-response")
        place.sandbox.arm("app", "error-500")

    with pytest.raises(TargetUnavailable):
        target.write_marked(path, FIELD, NEW, "", lose)
    with pytest.raises(ChangeUndone) as caught:
        target.write_marked(path, FIELD, NEW, target.read(path, FIELD).version, free)
    assert told(caught) == ids(place, path, 1)
    assert target.write_marked(path, FIELD, NEW, caught.value.version, free)


def test_a_preflight_asks_all_that_a_write_asks(place: AppPlatformPlace) -> None:
    """Also for the deployments, whose list may be too large: it must not be found after a secret was made."""
    path = place.path()
    place.sandbox.arm("deployments", "error-500")
    with pytest.raises(TargetUnavailable, match="could not list the deployments"):
        place.target().preflight(path, FIELD)


def test_large_specs_and_many_deployments_can_be_listed(place: AppPlatformPlace) -> None:
    """A spec of 440 KB, twenty times, is more than one answer may have."""
    path, target = place.path(), place.target()
    large = place.spec(path)
    large["services"][1]["envs"].append({"key": "LARGE", "value": "x" * 440_000})
    for _ in range(20):
        place.send(place.app(path).id, large)
    target.preflight(path, FIELD)
    target.write_marked(path, FIELD, NEW, "", free)
    assert place.held(path) == NEW.reveal()


def test_of_three_writers_none_loses_a_write_without_a_word(
    place: AppPlatformPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All three have read the same spec. What is not there in the end was named to someone."""
    monkeypatch.setattr(Apps, "alone", lambda self, app: nullcontext())  # as in three processes
    path = place.path()
    name, writes = path.partition("/")[0], list[str]()
    places = [path, f"{name}/mailer", f"{name}/api"]
    markers = {one: place.target().read(one, FIELD).version for one in places}
    found: dict[str, str] = {}

    def write(at: int, say: list[str]) -> None:
        """Write as another process; right before its first request for a change, the next one does the same."""
        nested = iter([True])

        def hold() -> None:
            if next(nested, False) and at + 1 < len(places):
                write(at + 1, say)

        target = place.target()
        try:
            found[places[at]] = target.write_marked(places[at], FIELD, NEW, markers[places[at]], hold)
        except ChangeUndone as caught:
            found[places[at]] = caught.version
            say.append(str(caught))

    write(0, writes)
    lost = [one for one in places if place.target().read(one, FIELD).version != found[one]]
    assert bool(lost) == bool(writes)


def test_a_deployment_of_the_same_spec_undoes_nothing(place: AppPlatformPlace) -> None:
    """Such as of new code, at that very moment: nothing is sent again."""
    path, target = place.path(), place.target()
    target.write_marked(path, FIELD, NEW, "", lambda: place.send(place.app(path).id, place.spec(path)))
    assert place.writes(path) == 3


def test_a_change_that_cannot_be_put_back_is_told(place: AppPlatformPlace) -> None:
    """Our write has undone it: the component that it removed is there again. Nobody may take that for a success."""
    path, target = place.path(), place.target()
    changed = place.spec(path)
    del changed["services"][1]
    with pytest.raises(ChangeUndone) as caught:
        target.write_marked(path, FIELD, NEW, "", lambda: place.send(place.app(path).id, changed))
    assert place.app(path).deployments[1].id in str(caught.value)


class _Recorder(BaseHTTPRequestHandler):
    """One app, whose spec is a text that is served as it is; a spec that is sent is recorded."""

    sent: ClassVar[list[bytes]] = []
    spec = SPEC
    protocol_version = "HTTP/1.1"

    def log_message(self, *args: object) -> None:
        """Say nothing."""

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
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
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Recorder)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join(5)
        server.server_close()


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
    assert count(place, "update-app") == 1


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
