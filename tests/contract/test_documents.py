"""What every target that holds records does with a document."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from keyturn.core.errors import Conflict, InputError, LeaseLost, TargetMisfit
from tests.contract.places import DocumentPlace

BAD_PATHS = ["", "/", "a//b", "../a", "a/../b", "a/.", "a b", "a%2e", "a?b", "a#b", "a\\b", "a\nb", "ä", "a/", "/a"]


def free() -> None:
    """A guard that lets every write pass."""


def test_a_document_that_was_never_written_is_none(documents: DocumentPlace) -> None:
    """Reading gives no text, and a version that a first write may name."""
    target, path = documents.target(), documents.path()
    found = target.read_document(path)
    assert found.text is None
    assert target.write_document(path, "{}", found.version, free)


@pytest.mark.parametrize(
    "text", ["{}", '{"name": "ключ \\u2028 \U0001f511"}', json.dumps({"long": "x" * 60_000}), '{"a":\n\t"b\\n"}\n']
)
def test_a_document_comes_back_as_it_was_written(documents: DocumentPlace, text: str) -> None:
    """The text is the same to the character, for another target on the same store."""
    path = documents.path()
    version = documents.target().write_document(path, text, documents.target().read_document(path).version, free)
    found = documents.target().read_document(path)
    assert (found.text, found.version) == (text, version)


def test_each_write_has_a_new_version(documents: DocumentPlace) -> None:
    """The same text written again is another version, so that a watcher sees life."""
    target, path = documents.target(), documents.path()
    versions = [target.read_document(path).version]
    for _ in range(3):
        versions.append(target.write_document(path, "{}", versions[-1], free))
    assert len(set(versions)) == 4
    if target.capabilities.counts:
        assert [int(version) for version in versions] == [0, 1, 2, 3]


def test_a_write_over_another_version_conflicts(documents: DocumentPlace) -> None:
    """Neither an old version, nor that of a document never written, nor a made-up one is written over."""
    target, path = documents.target(), documents.path()
    never = target.read_document(path).version
    first = target.write_document(path, '{"n": 1}', never, free)
    target.write_document(path, '{"n": 2}', first, free)
    for version in (never, first, "99", "", "x", "-1", "٣"):
        with pytest.raises(Conflict):
            target.write_document(path, '{"n": 3}', version, free)
    assert target.read_document(path).text == '{"n": 2}'


def test_of_many_first_writers_one_wins(documents: DocumentPlace) -> None:
    """A claim is created by exactly one of those who try at once."""
    target, path = documents.target(), documents.path()
    never = target.read_document(path).version

    def create(number: int) -> str:
        try:
            return target.write_document(path, json.dumps({"n": number}), never, free)
        except Conflict:
            return ""

    with ThreadPoolExecutor(8) as pool:
        won = [number for number, version in enumerate(pool.map(create, range(8))) if version]
    assert len(won) == 1
    assert target.read_document(path).text == json.dumps({"n": won[0]})


def test_counting_together_loses_nothing(documents: DocumentPlace) -> None:
    """Writers who read, add one and try again at a conflict end at their sum."""
    path = documents.path()
    first = documents.target()
    first.write_document(path, "0", first.read_document(path).version, free)

    def count() -> None:
        target = documents.target()
        done = 0
        for _ in range(500):
            found = target.read_document(path)
            try:
                target.write_document(path, str(int(found.text or "") + 1), found.version, free)
            except Conflict:
                continue
            done += 1
            if done == 5:
                return
        pytest.fail("a writer was overtaken 500 times")

    with ThreadPoolExecutor(4) as pool:
        for ended in [pool.submit(count) for _ in range(4)]:
            ended.result()
    assert first.read_document(path).text == "20"


def test_a_deleted_document_is_an_error(documents: DocumentPlace) -> None:
    """It is never taken for one that was not there; nor can it be written over from anything that was known."""
    target, path = documents.target(), documents.path()
    never = target.read_document(path).version
    version = target.write_document(path, "{}", never, free)
    documents.lose(path)
    with pytest.raises(TargetMisfit, match="deleted"):
        target.read_document(path)
    with pytest.raises((Conflict, TargetMisfit)):
        target.write_document(path, "{}", never, free)
    assert version != never


def test_a_refusing_guard_stops_the_write(documents: DocumentPlace) -> None:
    """A run that lost its lease writes nothing."""

    def lost() -> None:
        raise LeaseLost("the lease ran out")

    target, path = documents.target(), documents.path()
    never = target.read_document(path).version
    with pytest.raises(LeaseLost):
        target.write_document(path, "{}", never, lost)
    assert target.read_document(path).text is None


def test_listing_names_documents_and_no_folders(documents: DocumentPlace) -> None:
    """Names below the prefix, sorted, those of lost documents among them: reading them is an error."""
    target, prefix = documents.target(), documents.path()
    assert target.list_documents(prefix) == ()
    for name in ("b.json", "a", "c/d", ".e"):
        path = f"{prefix}/{name}"
        target.write_document(path, "{}", target.read_document(path).version, free)
    documents.lose(f"{prefix}/a")
    assert target.list_documents(prefix) == (".e", "a", "b.json")


def test_a_good_place_passes_the_check(documents: DocumentPlace) -> None:
    """Nothing here deletes documents by itself; the check writes nothing."""
    target, prefix = documents.target(), documents.path()
    target.check_documents(prefix)
    assert target.list_documents(prefix) == ()


def test_a_path_that_could_leave_its_place_is_refused(documents: DocumentPlace) -> None:
    """Reading, writing, listing and checking all look at the path first."""
    target = documents.target()
    for path in BAD_PATHS:
        with pytest.raises(InputError):
            target.read_document(path)
        with pytest.raises(InputError):
            target.write_document(path, "{}", "0", free)
        with pytest.raises(InputError):
            target.list_documents(path)
        with pytest.raises(InputError):
            target.check_documents(path)
