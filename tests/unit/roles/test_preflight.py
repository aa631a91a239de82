"""A run with a bad inventory ends at preflight: with the sentence, and before any host is asked."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

PLAYBOOKS = Path(__file__).parents[3] / "playbooks"
BIN = Path(sys.executable).parent
ENVIRONMENT = {**os.environ, "ANSIBLE_CONFIG": str(PLAYBOOKS / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"}
GROUPS = ("edge", "store", "train", "stream", "serve", "observe")


def site(directory: Path, *arguments: str, empty: str = "", host: str = "ansible_host: 192.0.2.10") -> str:
    """Output of a run of the whole site that must fail."""
    groups = "".join(f"    {g}: {{hosts: {{{'' if g == empty else 'node1: '}}}}}\n" for g in GROUPS)
    (directory / "hosts.yml").write_text(f"all:\n  hosts:\n    node1: {{{host}}}\n  children:\n{groups}")
    run = subprocess.run(
        [BIN / "ansible-playbook", "-i", directory / "hosts.yml", "site.yml",
         "-e", f"site_state={directory}/state", *arguments],
        cwd=PLAYBOOKS, env=ENVIRONMENT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert run.returncode == 2, run.stdout + run.stderr
    # Of preflight's tasks only the check of the inventory ran.
    assert "TASK [preflight : The inventory describes a site]" in run.stdout
    assert "TASK [preflight : Secrets" not in run.stdout
    assert not (directory / "state").exists()
    return " ".join(run.stdout.replace("''", "'").split())


def test_empty_group(tmp_path: Path) -> None:
    assert "Group 'serve' of the inventory is empty: put at least one host into it." in site(
        tmp_path, empty="serve"
    )


def test_unknown_variable_of_a_host(tmp_path: Path) -> None:
    said = site(tmp_path, host="ansible_host: 192.0.2.10, base_jurnal_max: 1G")
    assert "Unknown variable 'base_jurnal_max' is set for host 'node1': write 'base_journal_max'" in said


def test_unknown_variable_on_the_command_line(tmp_path: Path) -> None:
    assert "Unknown variable 'site_sizin' is set for host 'node1': write 'site_sizing'" in site(
        tmp_path, "-e", "site_sizin=small"
    )


def test_two_faults_are_told_at_once(tmp_path: Path) -> None:
    said = site(tmp_path, empty="edge", host="ansible_host: node1.example.com")
    assert "Group 'edge' of the inventory is empty" in said
    assert "The address 'node1.example.com' of host 'node1' is not an IP address" in said


def secrets(path: Path, *arguments: str, write: bool = True) -> subprocess.CompletedProcess[str]:
    users = "[{'name': 'ann', 'group': 'operators'}]"
    message = f"msg={{{{ lookup('site_secrets', '{path}', users={users}, write={write}) }}}}"
    return subprocess.run(
        [BIN / "ansible", "localhost", "-i", "localhost,", "-c", "local", *arguments,
         "-m", "ansible.builtin.debug", "-a", message],
        env={**ENVIRONMENT, "ANSIBLE_LOOKUP_PLUGINS": str(PLAYBOOKS / "roles/preflight/lookup_plugins")},
        capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.fixture
def password(tmp_path: Path) -> Path:
    (tmp_path / "password").write_text("opensesame\n")
    return tmp_path / "password"


def vault(verb: str, path: Path, password: Path) -> None:
    subprocess.run(
        [BIN / "ansible-vault", verb, "--vault-password-file", password, path],
        check=True,
        capture_output=True,
    )


def test_secrets_are_generated_once(tmp_path: Path) -> None:
    path = tmp_path / "state/secrets.yml"
    first = secrets(path)
    assert first.returncode == 0, first.stdout + first.stderr
    before = path.read_text()
    assert "user_ann" in before
    assert secrets(path).returncode == 0
    assert path.read_text() == before


def test_check_mode_writes_no_secret(tmp_path: Path) -> None:
    run = secrets(tmp_path / "state/secrets.yml", write=False)
    assert run.returncode == 0
    assert "user_ann" in run.stdout
    assert not (tmp_path / "state").exists()


def test_encrypted_secrets_are_read(tmp_path: Path, password: Path) -> None:
    path = tmp_path / "state/secrets.yml"
    secrets(path)
    vault("encrypt", path, password)
    before = path.read_text()
    run = secrets(path, "--vault-password-file", str(password))
    assert run.returncode == 0, run.stdout + run.stderr
    assert "user_ann" in run.stdout
    assert path.read_text() == before


def test_encrypted_secrets_that_lack_one_say_what_to_do(tmp_path: Path, password: Path) -> None:
    path = tmp_path / "state/secrets.yml"
    secrets(path)
    path.write_text(
        "".join(line for line in path.read_text().splitlines(True) if not line.startswith("user_ann"))
    )
    vault("encrypt", path, password)
    run = secrets(path, "--vault-password-file", str(password))
    assert run.returncode != 0
    said = " ".join((run.stdout + run.stderr).split())
    assert f"The encrypted secrets file {path} lacks user_ann: run `ansible-vault decrypt {path}`" in said
