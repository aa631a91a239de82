"""A replica's life: prepare, hold, switch, keep, come back."""

from collections.abc import Collection, Mapping
from pathlib import Path

import pytest

from millrace.models import Bundle
from millrace.models.registry import RegistryError
from millrace.serving.records import State
from millrace.serving.replica import Placed, Refused, Replica
from millrace.serving.versions import ModelVersion, Shelf
from tests.unit.serving.bundles import make_bundle, record_of


class MemoryStore:
    """Bundles and state as a disk would keep them; whatever is in `away` cannot be fetched."""

    def __init__(self, bundles: Mapping[str, Bundle], state: State | None = None) -> None:
        self.bundles = dict(bundles)
        self.state = state
        self.away: set[str] = set()
        self.full = False
        self.fetched: list[str] = []
        self.kept: set[str] = set()

    def bundle(self, model: str, version: str, digest: str) -> Bundle:
        self.fetched.append(digest)
        if digest in self.away:
            raise RegistryError("the registry does not answer")
        return self.bundles[digest]

    def read(self) -> State | None:
        return self.state

    def write(self, state: State) -> None:
        if self.full:
            raise OSError("no space left on device")
        self.state = state

    def collect(self, keep: Collection[str], older_than_s: float) -> None:
        self.kept = set(keep)


class Site:
    """A replica on a store, with two versions of one model at hand."""

    def __init__(self, folder: Path) -> None:
        self.one = make_bundle(folder / "one", 2.0)
        self.two = make_bundle(folder / "two", 3.0)
        self.first = record_of(self.one)
        self.second = record_of(self.two, version="2", generation=2)
        self.store = MemoryStore({b.digest: b for b in (self.one, self.two)})
        self.serving: dict[str, ModelVersion] = {}
        self.replica = self.start()

    def start(self, hold_seconds: float = 60) -> Replica:
        """A replica as after a start of its process, on the same disk."""
        self.serving = {}
        self.shelf = Shelf(10, 1_000_000, 100)
        self.replica = Replica(self.store, self.shelf, self._switch, hold_seconds, 60)
        return self.replica

    def _switch(self, models: dict[str, Placed]) -> None:
        self.serving = {model: placed.version for model, placed in models.items()}

    def live(self) -> str | None:
        return self.serving["tiny"].version if "tiny" in self.serving else None

    def reported(self) -> dict[str, object]:
        models = self.replica.status()["models"]
        assert isinstance(models, dict)
        return {model: placed["generation"] for model, placed in models.items()}


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def test_a_new_replica_is_ready_once_it_has_heard_all_records(site: Site) -> None:
    site.replica.restore()
    assert not site.replica.ready
    site.replica.reset({"tiny": site.first})
    assert site.replica.ready
    assert site.live() == "1"
    assert site.reported() == {"tiny": 1}


def test_a_site_without_deployments_is_ready(site: Site) -> None:
    site.replica.reset({})
    assert site.replica.ready


def test_a_prepared_version_is_not_served_before_its_record(site: Site) -> None:
    site.replica.reset({"tiny": site.first})
    site.replica.prepare(site.second)
    assert site.live() == "1"
    assert site.replica.status()["held"] == {"tiny": {"generation": 2}}
    site.store.fetched.clear()
    site.replica.apply("tiny", site.second)
    assert (site.live(), site.reported(), site.store.fetched) == ("2", {"tiny": 2}, [])
    assert site.replica.status()["held"] == {}


def test_a_version_that_does_not_reproduce_its_rows_is_not_held(site: Site, tmp_path: Path) -> None:
    wrong = make_bundle(tmp_path / "wrong", 4.0, wrong=True)
    site.store.bundles[wrong.digest] = wrong
    with pytest.raises(Refused, match="score"):
        site.replica.prepare(record_of(wrong, version="3", generation=3))
    assert site.replica.status()["held"] == {}


def test_an_abandoned_version_is_dropped_and_another_generation_is_not(site: Site) -> None:
    site.replica.prepare(site.second)
    site.replica.abandon("tiny", 1)
    assert site.replica.status()["held"] != {}
    site.replica.abandon("tiny", 2)
    assert site.replica.status()["held"] == {}
    site.replica.abandon("tiny", 2)


def test_what_nobody_deploys_is_dropped_in_time(site: Site) -> None:
    replica = site.start(hold_seconds=-1)
    replica.prepare(site.second)
    replica.tick()
    assert replica.status()["held"] == {}


def test_a_record_that_was_not_prepared_is_fetched(site: Site) -> None:
    site.replica.reset({})
    site.replica.apply("tiny", site.second)
    assert site.live() == "2"


def test_a_record_that_cannot_be_served_takes_the_replica_out_until_it_can(site: Site) -> None:
    site.replica.reset({"tiny": site.first})
    site.store.away = {site.two.digest}
    site.replica.apply("tiny", site.second)
    assert not site.replica.ready
    assert site.replica.status()["failed"] == {"tiny": "the registry does not answer"}
    assert site.reported() == {}
    site.store.away = set()
    site.replica.tick()
    assert site.replica.ready
    assert (site.live(), site.reported()) == ("2", {"tiny": 2})


def test_a_record_taken_back_heals_what_failed(site: Site) -> None:
    site.replica.reset({"tiny": site.first})
    site.store.away = {site.two.digest}
    site.replica.apply("tiny", site.second)
    site.replica.apply("tiny", None)
    assert site.replica.ready
    assert site.live() is None


def test_a_restart_without_kafka_serves_from_the_disk(site: Site) -> None:
    site.replica.reset({"tiny": site.first})
    replica = site.start()
    replica.restore()
    assert not replica.ready
    replica.away("connection refused")
    assert replica.ready
    assert site.live() == "1"


def test_a_first_start_without_kafka_is_not_ready(site: Site) -> None:
    for _ in range(2):
        site.replica.restore()
        site.replica.away("connection refused")
        site.replica.tick()
        assert not site.replica.ready


def test_records_rule_over_the_disk(site: Site) -> None:
    site.replica.reset({"tiny": site.first, "other": record_of(site.one, "other")})
    replica = site.start()
    replica.restore()
    replica.reset({"tiny": site.second})
    assert {name: m.version for name, m in site.serving.items()} == {"tiny": "2"}
    assert site.store.state
    assert site.store.state.models == {"tiny": site.second}


class Lost:
    """A replica of two models when the topic is lost; what it serves, by model."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.other = record_of(site.one, "other")
        site.replica.reset({"tiny": site.first, "other": self.other}, "first topic")

    def serving(self) -> dict[str, str]:
        return {model: version.version for model, version in self.site.serving.items()}


@pytest.fixture
def lost(site: Site) -> Lost:
    return Lost(site)


@pytest.mark.parametrize("restarted", [False, True])
def test_a_replica_serves_on_when_the_topic_is_lost_and_made_anew(lost: Lost, restarted: bool) -> None:
    replica = lost.site.replica
    if restarted:
        replica = lost.site.start()
        replica.restore()
    replica.reset({}, "second topic")
    assert replica.ready
    assert lost.serving() == {"tiny": "1", "other": "1"}


def test_what_is_deployed_into_a_new_topic_takes_nothing_else_away(lost: Lost) -> None:
    lost.site.replica.reset({}, "second topic")
    lost.site.replica.apply("tiny", lost.site.second)
    for _ in range(2):
        assert lost.serving() == {"tiny": "2", "other": "1"}
        replica = lost.site.start()
        replica.restore()
        replica.reset({"tiny": lost.site.second}, "second topic")
    # What this topic has named goes when it no longer does.
    replica.reset({}, "second topic")
    assert lost.serving() == {"other": "1"}


def test_a_replica_that_was_down_meanwhile_serves_on_too(lost: Lost) -> None:
    replica = lost.site.start()
    replica.restore()
    replica.reset({"tiny": lost.site.second}, "second topic")
    assert lost.serving() == {"tiny": "2", "other": "1"}


def test_a_model_of_the_lost_topic_is_removed_by_the_new_one(lost: Lost) -> None:
    replica = lost.site.replica
    replica.reset({}, "second topic")
    replica.apply("tiny", None)
    assert lost.serving() == {"other": "1"}
    # Deployed and removed while this replica did not listen.
    replica.reset({"other": None}, "second topic")
    assert lost.serving() == {}


def test_a_generation_is_reported_only_once_it_would_outlive_a_crash(site: Site) -> None:
    site.replica.reset({"tiny": site.first})
    site.store.full = True
    site.replica.apply("tiny", site.second)
    assert (site.live(), site.reported()) == ("2", {})
    site.store.full = False
    site.replica.tick()
    assert site.reported() == {"tiny": 2}


def test_a_generation_is_reported_only_once_no_request_runs_on_the_old_one(site: Site) -> None:
    site.replica.reset({"tiny": site.first})
    old = site.serving["tiny"]
    old.busy += 1
    site.replica.apply("tiny", site.second)
    assert site.reported() == {}
    old.busy -= 1
    assert site.reported() == {"tiny": 2}


def test_a_removed_model_is_told_as_leaving_while_a_request_runs(site: Site) -> None:
    site.replica.reset({"tiny": site.first})
    old = site.serving["tiny"]
    old.busy += 1
    site.replica.apply("tiny", None)
    assert site.live() is None
    assert site.replica.status()["leaving"] == ["tiny"]
    old.busy -= 1
    assert site.replica.status()["leaving"] == []


def test_the_same_version_again_is_not_loaded_again(site: Site) -> None:
    site.replica.reset({"tiny": site.first})
    version = site.serving["tiny"]
    site.replica.apply("tiny", record_of(site.one, generation=2))
    assert site.serving["tiny"] is version
    assert site.reported() == {"tiny": 2}


def test_bundles_in_use_or_held_are_kept(site: Site) -> None:
    site.replica.reset({"tiny": site.first})
    site.replica.prepare(site.second)
    site.replica.tick()
    assert site.store.kept == {site.one.digest, site.two.digest}
    site.replica.abandon("tiny", 2)
    site.replica.tick()
    assert site.store.kept == {site.one.digest}
