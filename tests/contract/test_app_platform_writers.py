"""App Platform: writers of one app at the same moment. Nothing is lost without a word."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import nullcontext
from multiprocessing import get_context
from multiprocessing.queues import SimpleQueue
from threading import Barrier

import pytest

from keyturn.core.errors import ChangeUndone, KeyturnError, TargetUnavailable
from keyturn.sandbox import Sandbox
from keyturn.targets.app_platform import AppPlatformTarget
from keyturn.targets.app_platform_apps import Apps
from keyturn.targets.base import Guard, TargetContext
from tests.contract.place_app_platform import AppPlatformPlace
from tests.contract.test_deliveries import FIELD, FOREIGN, NEW
from tests.contract.test_documents import free


@pytest.fixture
def place() -> Iterator[AppPlatformPlace]:
    """A sandbox of the test's own, whose clock moves only by hand."""
    with Sandbox(seed=1) as sandbox:
        made = AppPlatformPlace(sandbox)
        yield made
        made.close()


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


ROUNDS = 6


def racing(url: str, token: str, places: list[str], start: Barrier, told: SimpleQueue[tuple[int, str, str]]) -> None:
    """Write to each of the places at the same moment as the other processes; say the marker, and what went wrong."""
    environment = {"KEYTURN_API_URL": url, "DIGITALOCEAN_TOKEN": token, "KEYTURN_ALLOWED_PLACES": "app-platform=*"}
    target = AppPlatformTarget(TargetContext("apps", {}, environment, 10))
    for number, one in enumerate(places):
        marker = target.read(one, FIELD).version
        start.wait(timeout=60)
        try:
            told.put((number, one, target.write_marked(one, FIELD, NEW, marker, free)))
        except ChangeUndone as undone:
            told.put((number, one, undone.version))
            told.put((number, "", str(undone)))
        except KeyturnError as error:
            told.put((number, "", str(error)))
    target.close()


def test_of_three_processes_none_loses_a_write_without_a_word(place: AppPlatformPlace) -> None:
    """They write three variables of one app at once, several times: all are there, or an error was told."""
    apps = [place.path().partition("/")[0] for _ in range(ROUNDS)]
    context = get_context("spawn")
    start, told = context.Barrier(3), context.SimpleQueue()
    processes = [
        context.Process(
            target=racing,
            args=(place.sandbox.url, place.token, [f"{app}/{component}" for app in apps], start, told),
            daemon=True,
        )
        for component in ("web", "mailer", "api")
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(timeout=90)
    ended = [process.exitcode for process in processes]
    for process in processes:
        process.kill()
    assert ended == [0, 0, 0]
    found: dict[int, dict[str, str]] = {number: {} for number in range(ROUNDS)}
    while not told.empty():
        number, where, what = told.get()
        found[number][where] = what
    for number, app in enumerate(apps):
        markers = {one: place.target().read(one, FIELD).version for one in found[number] if one}
        lost = [one for one, marker in markers.items() if marker != found[number][one]]
        assert len(markers) == 3 or "" in found[number]
        assert not lost or "" in found[number], (app, lost)


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
