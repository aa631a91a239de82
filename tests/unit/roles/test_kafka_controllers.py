"""The controllers of a formatted Kafka stay; where nothing is formatted yet, any are right."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

PLAYBOOKS = Path(__file__).parents[3] / "playbooks"
SECRETS = {"kafka_control": "a", "kafka_prediction": "b"}


def preflight(directory: Path, hosts: list[str]) -> subprocess.CompletedProcess[str]:
    """Role kafka's preflight for store hosts that all have their files in `directory`."""
    (directory / "hosts.yml").write_text(json.dumps({"store": {"hosts": dict.fromkeys(hosts)}}))
    include = {"name": "kafka", "tasks_from": "preflight"}
    places = {"kafka_config_dir": str(directory), "kafka_state_dir": str(directory)}
    task = {"ansible.builtin.include_role": include, "vars": places}
    play = directory / "play.yml"
    play.write_text(json.dumps([{"hosts": "store", "gather_facts": False, "tasks": [task]}]))
    extra = {"site_secrets": SECRETS, "ansible_connection": "local", "site_domain": "a.test"}
    extra |= {"ansible_python_interpreter": sys.executable, "site_state": str(directory)}
    extra["site_services"] = {"kafka_controller": {"port": 9093}}
    return subprocess.run(
        [Path(sys.executable).parent / "ansible-playbook", "-i", directory / "hosts.yml", play,
         "-e", json.dumps(extra)],
        env={**os.environ, "ANSIBLE_CONFIG": str(PLAYBOOKS / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.fixture
def configured(tmp_path: Path) -> Path:
    (tmp_path / "server.properties").write_text(
        "node.id=1\ncontroller.quorum.bootstrap.servers=n1.a.test:9093\n"
    )
    return tmp_path


@pytest.fixture
def formatted(configured: Path) -> Path:
    (configured / "data").mkdir()
    (configured / "data/meta.properties").touch()
    return configured


def test_three_controllers_instead_of_one_are_refused(formatted: Path) -> None:
    run = preflight(formatted, ["n1", "n2", "n3"])
    said = " ".join(run.stdout.split())
    assert run.returncode == 2, said
    assert "was formatted for the controllers n1.a.test:9093, and the inventory asks for" in said
    # No host goes on.
    assert run.stdout.count("failed=1") == 3, said


def test_a_broker_more_leaves_the_controllers_as_they_are(formatted: Path) -> None:
    run = preflight(formatted, ["n1", "n2"])
    assert run.returncode == 0, run.stdout + run.stderr


def test_what_is_not_formatted_yet_may_change(configured: Path) -> None:
    run = preflight(configured, ["n1", "n2", "n3"])
    assert run.returncode == 0, run.stdout + run.stderr
