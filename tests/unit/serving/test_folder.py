"""A folder of bundles: what is found there, and how changes are followed."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest

from millrace.models import Bundle, VerificationFailed, verify
from millrace.serving.folder import Folder, FolderStore, find
from millrace.serving.records import Record
from millrace.serving.replica import Refused
from tests.unit.serving.bundles import make_bundle


class Replica:
    """Prepares as a replica does, and remembers what was switched to."""

    def __init__(self, store: FolderStore) -> None:
        self._store = store
        self.live: dict[str, tuple[str, float]] = {}
        self.synchronised = False

    def prepare(self, record: Record) -> None:
        bundle = self._store.bundle(record.model, record.version, record.digest)
        try:
            verify(bundle)
        except VerificationFailed as error:
            raise Refused(str(error)) from error

    def apply(self, model: str, record: Record | None) -> None:
        if record is None:
            del self.live[model]
            return
        bundle = self._store.bundle(model, record.version, record.digest)
        expected = bundle.verification()
        self.live[model] = (record.version, expected.outputs["score"][0, 0] / expected.inputs["x"][0, 0])

    def reset(self, records: Mapping[str, Record]) -> None:
        assert set(records) == set(self.live)
        self.synchronised = True


class Place:
    """A folder that is followed; `live` is version and factor by model."""

    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir()
        self.said: list[str] = []
        store = FolderStore()
        self._replica = Replica(store)
        self.folder = Folder(root, store, self._replica, self.said.append)

    @property
    def live(self) -> dict[str, tuple[str, float]]:
        return self._replica.live

    def begin(self) -> int:
        count = self.folder.begin()
        assert self._replica.synchronised
        return count

    def look(self) -> None:
        """Twice: what is new must lie still for a while."""
        self.folder.look()
        self.folder.look()


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path / "models")


def replace(made: Bundle, path: Path) -> None:
    """Put another bundle where one is, as somebody who copies over it."""
    shutil.rmtree(path)
    shutil.copytree(made.path, path)


def test_models_are_called_as_their_folders_and_the_newest_version_is_first(tmp_path: Path) -> None:
    made = make_bundle(tmp_path / "made")
    for name in ("plain", "many/9", "many/10", "many/old", ".hidden", "deep/a/b/c"):
        shutil.copytree(made.path, tmp_path / "models" / name)
    (tmp_path / "models/empty").mkdir()
    (tmp_path / "models/README").write_text("")
    found = find(tmp_path / "models")
    assert {model: [each.version for each in versions] for model, versions in found.items()} == {
        "plain": ["1"],
        "many": ["old", "10", "9"],
    }
    assert [(each.model, each.path) for each in find(made.path)["made"]] == [("made", made.path)]


def test_what_lies_there_is_served(place: Place) -> None:
    make_bundle(place.root / "one", 2.0)
    make_bundle(place.root / "two/1", 3.0)
    make_bundle(place.root / "two/2", 4.0)
    assert place.begin() == 2
    assert place.live == {"one": ("1", 2.0), "two": ("2", 4.0)}
    assert "two 2 is live: it answers 3 rows as none did" in place.said


@pytest.mark.parametrize("name", ["1.10", "backup", "2-rc1", "9" * 19, "\u0663"])
def test_what_is_no_whole_number_is_named_and_left_out(name: str, place: Place) -> None:
    make_bundle(place.root / "m/1", 2.0)
    make_bundle(place.root / f"m/{name}", 3.0)
    make_bundle(place.root / f"lone/{name}", 3.0)
    assert place.begin() == 1
    for _ in range(3):
        place.look()
    assert place.live == {"m": ("1", 2.0)}
    told = f"{name} is refused: a version is a whole number: rename the folder if it is one"
    assert sorted(line for line in place.said if "refused" in line) == [f"lone {told}", f"m {told}"]
    # It does not stand in the way of a new one.
    make_bundle(place.root / "m/2", 4.0)
    place.look()
    assert place.live == {"m": ("2", 4.0)}


def test_a_new_version_is_switched_to_when_it_lies_still(place: Place) -> None:
    make_bundle(place.root / "m/1", 2.0)
    place.begin()
    make_bundle(place.root / "m/2", 3.0)
    place.folder.look()
    assert place.live["m"] == ("1", 2.0)
    place.folder.look()
    assert place.live["m"] == ("2", 3.0)


def test_a_bad_version_is_told_once_and_the_old_one_goes_on(place: Place) -> None:
    make_bundle(place.root / "m/1", 2.0)
    place.begin()
    make_bundle(place.root / "m/2", 3.0, wrong=True)
    place.said.clear()
    for _ in range(4):
        place.look()
    assert place.live["m"] == ("1", 2.0)
    (line,) = place.said
    assert line.startswith("m 2 is refused: output 'score' differs")
    assert line.endswith("; 1 goes on")
    # Mended, it is taken.
    replace(make_bundle(place.root.parent / "good", 5.0), place.root / "m/2")
    place.look()
    assert place.live["m"] == ("2", 5.0)


def test_a_bad_newest_version_at_the_start_gives_way_to_the_one_before(place: Place) -> None:
    make_bundle(place.root / "m/1", 2.0)
    make_bundle(place.root / "m/2", 3.0, wrong=True)
    (place.root / "m/3").mkdir()
    (place.root / "m/3/bundle.json").write_text("{")
    assert place.begin() == 1
    assert place.live["m"] == ("1", 2.0)
    assert [line.split(":")[0] for line in place.said] == ["m 3 is refused", "m 2 is refused", "m 1 is live"]


def test_a_bundle_that_is_overwritten_is_taken_or_its_memory_goes_on(place: Place) -> None:
    make_bundle(place.root / "m", 2.0)
    place.begin()
    replace(make_bundle(place.root.parent / "better", 3.0), place.root / "m")
    place.look()
    assert place.live["m"] == ("1", 3.0)
    replace(make_bundle(place.root.parent / "wrong", 4.0, wrong=True), place.root / "m")
    place.look()
    place.look()
    assert place.live["m"] == ("1", 3.0)
    assert sum("refused" in line for line in place.said) == 1


def test_an_overwritten_bad_version_does_not_bring_an_older_one_back(place: Place) -> None:
    make_bundle(place.root / "m/1", 2.0)
    make_bundle(place.root / "m/2", 3.0)
    place.begin()
    replace(make_bundle(place.root.parent / "wrong", 4.0, wrong=True), place.root / "m/2")
    place.look()
    place.look()
    assert place.live["m"] == ("2", 3.0)


def test_what_is_taken_away_goes_back_or_goes(place: Place) -> None:
    make_bundle(place.root / "m/1", 2.0)
    make_bundle(place.root / "m/2", 3.0)
    place.begin()
    shutil.rmtree(place.root / "m/2")
    place.look()
    assert place.live["m"] == ("1", 2.0)
    shutil.rmtree(place.root / "m")
    place.look()
    assert place.live == {}
    assert place.said[-1] == "m is gone and no longer served"


def test_a_touched_bundle_is_not_loaded_again(place: Place) -> None:
    make_bundle(place.root / "m", 2.0)
    place.begin()
    place.said.clear()
    os.utime(place.root / "m/bundle.json", (1, 1))
    place.look()
    assert (place.said, place.folder.live["m"].generation) == ([], 1)


def test_a_name_that_no_path_can_have_is_refused(place: Place) -> None:
    make_bundle(place.root / "a b", 2.0)
    assert place.begin() == 0
    assert "'a b' is no name of a model" in place.said[0]
