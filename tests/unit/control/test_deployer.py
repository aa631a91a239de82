"""All replicas switch, or none does, whoever fails and whenever."""

import threading
import time
from collections.abc import Callable, Sequence

import pytest

from millrace.control.deployer import Deployer, Refused
from millrace.control.fleet import Holding, NoReplicas, Placed, ReplicaError, Status
from millrace.serving.follower import Away
from millrace.serving.records import Record


class MemoryLog:
    """Kafka's topic; `followers` hear of every record, as replicas do."""

    def __init__(self) -> None:
        self.written: list[tuple[str, Record | None]] = []
        self.followers: list[Callable[[str, Record | None], None]] = []
        self.away = ""
        self.confirms = True
        self.takes = True

    def records(self) -> dict[str, Record]:
        if self.away:
            raise Away(self.away)
        found = dict(self.written)
        return {model: record for model, record in found.items() if record}

    def append(self, model: str, record: Record | None) -> None:
        if self.away:
            raise Away(self.away)
        if not self.takes:
            raise Away("it was not taken")
        self.written.append((model, record))
        for follow in self.followers:
            follow(model, record)
        if not self.confirms:
            raise Away("it was not confirmed in time")


class Member:
    """A replica; `refuses`, `unreachable` and `deaf` are its ways to fail."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.refuses = ""
        self.unreachable = ""
        self.deaf = False
        self.models: dict[str, Placed] = {}
        self.held: dict[str, Record] = {}
        self.abandoned: list[int] = []

    def prepare(self, record: Record, timeout: float) -> None:
        self._reach()
        if self.refuses:
            raise ReplicaError(self.refuses)
        self.held[record.model] = record

    def abandon(self, model: str, generation: int, timeout: float) -> None:
        self._reach()
        self.abandoned.append(generation)
        self.held.pop(model, None)

    def status(self, timeout: float) -> Status:
        self._reach()
        held = {model: Holding(record.generation) for model, record in self.held.items()}
        return Status(True, dict(self.models), [], held, {})

    def hear(self, model: str, record: Record | None) -> None:
        if self.deaf:
            return
        self.held.pop(model, None)
        if record is None:
            self.models.pop(model, None)
        else:
            self.models[model] = Placed(record.version, record.digest, record.generation)

    def _reach(self) -> None:
        if self.unreachable:
            raise ReplicaError(self.unreachable)


class Fleet:
    def __init__(self, members: list[Member]) -> None:
        self.list = members

    def members(self) -> Sequence[Member]:
        if not self.list:
            raise NoReplicas("no prediction server is known")
        return self.list


class Gate:
    """Lets all versions through but 13; the newest one is 9."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def __call__(self, model: str, version: str) -> str:
        self.asked.append(version)
        if version == "13":
            raise Refused(409, "row 0 differs")
        return f"sha256:{version}"

    def newest(self, model: str) -> str:
        if model == "nobody":
            raise Refused(404, "the registry has no model 'nobody'")
        return "9"


class Site:
    def __init__(self) -> None:
        self.log = MemoryLog()
        self.one, self.two = Member("node1:8501"), Member("node1:8502")
        self.log.followers = [self.one.hear, self.two.hear]
        self.fleet = Fleet([self.one, self.two])
        self.gate = Gate()
        self.deployer = Deployer(self.log, self.fleet, self.gate, 5, 0.3)

    def generations(self) -> list[int | None]:
        return [m.models["iris"].generation if "iris" in m.models else None for m in (self.one, self.two)]


@pytest.fixture
def site() -> Site:
    return Site()


def test_a_deployment_is_live_on_every_replica_when_it_is_answered(site: Site) -> None:
    record = site.deployer.deploy("iris", "3", "ada")
    assert (record.version, record.digest, record.generation, record.user) == ("3", "sha256:3", 1, "ada")
    assert record.replicas == ["node1:8501", "node1:8502"]
    assert record.time
    assert site.generations() == [1, 1]
    assert site.deployer.deploy("iris", "4", "ada").generation == 2
    assert site.generations() == [2, 2]
    assert site.deployer.deployments()["iris"].version == "4"


@pytest.mark.parametrize(
    ("way", "text"), [("refuses", "row 7 differs"), ("unreachable", "connection refused")]
)
def test_if_one_replica_cannot_nothing_switches_and_it_is_named(site: Site, way: str, text: str) -> None:
    site.deployer.deploy("iris", "3", "ada")
    setattr(site.two, way, text)
    with pytest.raises(Refused, match=f"node1:8502: {text}") as caught:
        site.deployer.deploy("iris", "4", "ada")
    assert caught.value.status == 409
    assert "node1:8501" not in str(caught.value)
    assert site.generations() == [1, 1]
    assert site.one.held == {}
    assert site.one.abandoned == [2]
    assert len(site.log.written) == 1


def test_what_does_not_pass_the_gate_bothers_no_replica(site: Site) -> None:
    site.one.unreachable = "must not be asked"
    with pytest.raises(Refused, match="row 0 differs"):
        site.deployer.deploy("iris", "13", "ada")
    assert site.log.written == []


def test_without_replicas_nothing_is_deployed(site: Site) -> None:
    site.fleet.list = []
    with pytest.raises(Refused, match="no prediction server") as caught:
        site.deployer.deploy("iris", "3", "ada")
    assert caught.value.status == 503
    assert site.log.written == []


def test_without_kafka_nothing_is_deployed(site: Site) -> None:
    site.log.away = "connection refused"
    for change in (lambda: site.deployer.deploy("iris", "3", "ada"), lambda: site.deployer.remove("iris")):
        with pytest.raises(Refused, match="connection refused") as caught:
            change()
        assert caught.value.status == 503
    assert site.one.held == {}


def test_a_record_that_kafka_did_not_take_undoes_the_preparation(site: Site) -> None:
    site.log.takes = False
    with pytest.raises(Refused, match="nothing is switched") as caught:
        site.deployer.deploy("iris", "3", "ada")
    assert caught.value.status == 503
    assert site.one.held == {}
    assert site.two.held == {}


def test_kafka_lost_while_the_record_is_written_leaves_it_open(site: Site) -> None:
    """It may be there: then the replicas switch when Kafka is back, as they were prepared to."""

    def lose(model: str, record: Record | None) -> None:
        site.log.away = "connection reset"
        raise Away("it was not confirmed in time")

    site.deployer.deploy("flights", "1", "ada")
    site.log.append = lose  # type: ignore[method-assign]
    words = "not known whether Kafka took the record: ask GET /deployments/"
    with pytest.raises(Refused, match=f"{words}iris") as caught:
        site.deployer.deploy("iris", "3", "ada")
    assert caught.value.status == 504
    assert [member.abandoned for member in (site.one, site.two)] == [[], []]
    assert site.one.held["iris"].version == "3"
    site.log.away = ""
    with pytest.raises(Refused, match=f"{words}flights") as caught:
        site.deployer.remove("flights")
    assert caught.value.status == 504


def test_a_record_that_is_there_although_unconfirmed_counts(site: Site) -> None:
    site.log.confirms = False
    assert site.deployer.deploy("iris", "3", "ada").generation == 1
    assert site.generations() == [1, 1]


def test_a_replica_that_does_not_switch_in_time_is_named(site: Site) -> None:
    site.two.deaf = True
    with pytest.raises(Refused, match="node1:8502: it has not switched yet") as caught:
        site.deployer.deploy("iris", "3", "ada")
    assert caught.value.status == 504
    assert "recorded" in str(caught.value)


def test_the_answer_waits_for_the_slowest_replica(site: Site) -> None:
    site.log.followers = [site.one.hear]

    def late() -> None:
        time.sleep(0.1)
        site.two.hear("iris", site.deployer.deployments()["iris"])

    thread = threading.Thread(target=late)
    append = site.log.append
    site.log.append = lambda model, record: (append(model, record), thread.start())[0]  # type: ignore[method-assign]
    site.deployer.deploy("iris", "3", "ada")
    assert site.generations() == [1, 1]


def test_the_live_version_again_writes_no_record(site: Site) -> None:
    first = site.deployer.deploy("iris", "3", "ada")
    assert site.deployer.deploy("iris", "3", "bob") == first
    assert len(site.log.written) == 1


def test_deployments_of_a_model_follow_each_other(site: Site) -> None:
    inside, most = 0, 0

    def gate(model: str, version: str) -> str:
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        time.sleep(0.02)
        inside -= 1
        return f"sha256:{version}"

    site.deployer = Deployer(site.log, site.fleet, gate, 5, 1)
    threads = [
        threading.Thread(target=site.deployer.deploy, args=("iris", str(version), "ada"))
        for version in range(1, 7)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1
    assert [record.generation for _, record in site.log.written if record] == [1, 2, 3, 4, 5, 6]


def test_a_removed_model_is_gone_everywhere(site: Site) -> None:
    site.deployer.deploy("iris", "3", "ada")
    site.deployer.remove("iris")
    assert site.generations() == [None, None]
    with pytest.raises(Refused, match="not deployed") as caught:
        site.deployer.remove("iris")
    assert caught.value.status == 404


def test_a_removal_that_is_there_although_unconfirmed_counts(site: Site) -> None:
    site.deployer.deploy("iris", "3", "ada")
    site.log.confirms = False
    site.deployer.remove("iris")
    assert site.generations() == [None, None]


def test_a_removal_that_kafka_did_not_take_is_told(site: Site) -> None:
    site.deployer.deploy("iris", "3", "ada")
    site.log.takes = False
    with pytest.raises(Refused, match="nothing is switched") as caught:
        site.deployer.remove("iris")
    assert caught.value.status == 503


def test_a_removal_that_one_replica_does_not_confirm_is_told(site: Site) -> None:
    site.deployer.deploy("iris", "3", "ada")
    site.two.deaf = True
    with pytest.raises(Refused, match="node1:8502: it still has it") as caught:
        site.deployer.remove("iris")
    assert caught.value.status == 504


def test_after_a_start_what_a_killed_control_left_prepared_is_undone(site: Site) -> None:
    site.deployer.deploy("iris", "3", "ada")
    left = Record("iris", "4", "sha256:4", 2)
    site.one.prepare(left, 5)
    site.two.prepare(Record("flights", "1", "sha256:f", 1), 5)
    Deployer(site.log, site.fleet, site.gate, 5, 1).settle()
    assert site.one.held == {}
    assert site.two.held == {}
    assert site.generations() == [1, 1]


def test_after_a_start_what_is_recorded_is_left_to_be_finished(site: Site) -> None:
    site.log.written.append(("iris", Record("iris", "3", "sha256:3", 1)))
    site.one.held["iris"] = Record("iris", "3", "sha256:3", 1)
    site.deployer.settle()
    assert site.one.held != {}


def fallback_of(site: Site, version: str | None, changes: dict[str, object] | None) -> object:
    fallback = site.deployer.deploy("iris", version, "ada", changes).policy.fallback
    return fallback and (fallback.version, fallback.digest)


def test_a_fallback_to_a_version_brings_its_digest(site: Site) -> None:
    assert fallback_of(site, "3", {"fallback": {"version": "1"}}) == ("1", "sha256:1")
    assert fallback_of(site, "4", {"fallback": {"version": "previous"}}) == ("3", "sha256:3")
    # Said again, or not at all, it stays what it was; its digest is not asked for again.
    site.gate.asked.clear()
    assert fallback_of(site, "4", {"fallback": {"version": "previous"}}) == ("3", "sha256:3")
    site.gate.asked.clear()
    assert fallback_of(site, "5", None) == ("3", "sha256:3")
    assert site.gate.asked == ["5"]
    # Going back to the fallback leaves none.
    assert fallback_of(site, "3", None) is None


@pytest.mark.parametrize(
    ("version", "changes", "status", "words"),
    [
        ("3", {"fallback": {"version": "previous"}}, 400, "no previous version"),
        ("3", {"fallback": {"version": "3"}}, 400, "its own fallback"),
        ("3", {"fallback": {"version": "13"}}, 409, "row 0 differs"),
        ("3", {"fallback": {"model": "nobody"}}, 409, "'nobody', is not deployed"),
        ("3", {"fallback": {"version": "1", "model": "other"}}, 400, "one of constant, version and model"),
        ("3", {"fallback": {"digest": "sha256:1"}}, 400, "no fallback.digest"),
        (None, {"queue": 1}, 404, "say which version"),
    ],
)
def test_a_policy_that_cannot_be_kept_switches_nothing(
    site: Site, version: str | None, changes: dict[str, object], status: int, words: str
) -> None:
    with pytest.raises(Refused, match=words) as caught:
        site.deployer.deploy("iris", version, "ada", changes)
    assert caught.value.status == status
    assert site.log.written == []
