"""A site: what is read from its state, and what is said when it cannot be."""

import dataclasses
import json
import subprocess
from pathlib import Path

import pytest

from millrace import ansible
from millrace import site as sites
from millrace.problem import Problem
from millrace.site import Host, Site


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("MILLRACE_GATEWAY", "MILLRACE_USER", "MILLRACE_PASSWORD"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MILLRACE_STATE", str(tmp_path))
    return tmp_path


@pytest.fixture
def demo(root: Path) -> Site:
    directory = root / "demo"
    made = Site(
        name="demo",
        directory=directory,
        gateway="localhost:8443",
        ca=str(directory / "ca/ca.crt"),
        domain="millrace.internal",
        secrets=str(directory / "secrets.yml"),
        hosts=(
            Host("node1", "172.30.8.11", str(directory / "ssh/id"), ("edge", "store"), user="root"),
            Host("node2", "172.30.8.12", "", ("store",), user="admin", port=2222),
        ),
        inventories=("/clone/inventory",),
        users=({"name": "ada", "group": "scientists"}, {"name": "op", "group": "operators"}),
        containers={"node1": "abc"},
    )
    made.write()
    (directory / "secrets.yml").write_text("user_op: s3cret'\nuser_ada: hers\nspark_connect_token: tok\n")
    return made


def test_what_is_written_is_read_again(demo: Site) -> None:
    assert sites.find("demo") == demo


def test_site_json_has_what_tests_and_scripts_read(demo: Site) -> None:
    fields = json.loads((demo.directory / "site.json").read_text())
    assert fields["gateway"] == "localhost:8443"
    assert fields["hosts"][0] == {
        "name": "node1", "address": "172.30.8.11", "ssh_key": str(demo.directory / "ssh/id"),
        "groups": ["edge", "store"], "user": "root", "port": 0, "become": False,
    }  # fmt: skip


def test_an_unknown_site_names_those_that_are_here(demo: Site) -> None:
    with pytest.raises(Problem, match=r"no site trial \(sites here: demo\).*--site trial"):
        sites.find("trial")


def test_without_any_site_the_fix_is_demo(root: Path) -> None:
    with pytest.raises(Problem, match=r"no site was made here yet.*millrace demo"):
        sites.find("demo")


@pytest.mark.parametrize("name", ["../etc", "", "A", "a" * 31, "a b", "-a"])
def test_a_name_that_would_leave_the_state_directory_is_refused(root: Path, name: str) -> None:
    with pytest.raises(Problem, match="no name for a site"):
        sites.find(name)


def test_a_broken_file_is_named(demo: Site) -> None:
    (demo.directory / "site.json").write_text('{"name": "demo"')
    with pytest.raises(Problem, match=r"site\.json is not readable"):
        sites.find("demo")


def test_the_first_operator_speaks_unless_another_is_named(demo: Site) -> None:
    assert demo.user() == ("op", "s3cret'")
    assert demo.user("ada") == ("ada", "hers")
    with pytest.raises(Problem, match="no user bob; site_users: ada, op"):
        demo.user("bob")


HASHED = {"name": "eve", "group": "operators", "password": "hashed"}


def test_an_operator_with_a_generated_password_is_preferred(demo: Site) -> None:
    assert dataclasses.replace(demo, users=(HASHED, *demo.users)).user() == ("op", "s3cret'")


def test_a_password_of_which_there_is_only_the_hash_comes_from_the_environment(
    demo: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    for site in (
        dataclasses.replace(demo, users=(HASHED,)),
        dataclasses.replace(demo, users=(HASHED, *demo.users)),
    ):
        with pytest.raises(Problem, match="eve of site demo has only a password_hash: set MILLRACE_USER"):
            site.user("eve")
    monkeypatch.setenv("MILLRACE_PASSWORD", "remembered")
    monkeypatch.setenv("MILLRACE_USER", "op")
    with pytest.raises(Problem, match="eve of site demo has only a password_hash"):
        site.user("eve")
    monkeypatch.setenv("MILLRACE_USER", "eve")
    assert site.user() == site.user("eve") == ("eve", "remembered")
    # Of a generated password the file knows the newest.
    monkeypatch.setenv("MILLRACE_USER", "ada")
    assert site.user() == ("ada", "hers")


def test_the_environment_of_another_site_is_not_taken(demo: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MILLRACE_GATEWAY", "https://elsewhere:443")
    monkeypatch.setenv("MILLRACE_USER", "ada")
    assert demo.user() == ("op", "s3cret'")


def test_secrets_may_stand_below_the_name_of_their_variable(demo: Site) -> None:
    Path(demo.secrets).write_text("site_secrets: {user_op: nested}\n")
    assert demo.user() == ("op", "nested")


def test_secrets_that_are_not_there_name_the_fix(demo: Site) -> None:
    Path(demo.secrets).unlink()
    with pytest.raises(Problem, match="converge the site first"):
        demo.user()


def test_an_encrypted_file_without_its_password_names_the_variable(
    demo: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ANSIBLE_VAULT_PASSWORD_FILE", raising=False)
    Path(demo.secrets).write_text("$ANSIBLE_VAULT;1.1;AES256\n6162\n")
    with pytest.raises(Problem, match="ANSIBLE_VAULT_PASSWORD_FILE"):
        demo.user()


def test_clients_get_every_variable_they_need(demo: Site) -> None:
    found = demo.environment()
    assert found["MILLRACE_GATEWAY"] == found["MLFLOW_TRACKING_URI"] == "https://localhost:8443"
    assert found["MLFLOW_REGISTRY_URI"] == found["MLFLOW_TRACKING_URI"]
    assert found["SPARK_REMOTE"] == "sc://localhost:8443/;use_ssl=true;token=tok"
    assert {found[n] for n in found if n.endswith(("_CA", "CERT_PATH", "ROOTS_FILE_PATH"))} == {demo.ca}
    assert (found["MLFLOW_TRACKING_USERNAME"], found["MLFLOW_TRACKING_PASSWORD"]) == ("op", "s3cret'")
    assert demo.environment("ada")["MILLRACE_USER"] == "ada"


def test_ssh_uses_the_sites_own_key_and_known_hosts(demo: Site) -> None:
    (demo.directory / "known_hosts").write_text("172.30.8.11 ssh-ed25519 AAAA\n")
    words = demo.ssh(demo.host("node1"), "uptime")
    assert words[-2:] == ["root@172.30.8.11", "uptime"]
    assert f"UserKnownHostsFile={demo.directory}/known_hosts" in words
    assert demo.hosts[0].ssh_key in words


def test_ssh_leaves_the_key_to_ssh_where_the_inventory_names_none(demo: Site) -> None:
    words = demo.ssh(demo.host("node2"))
    assert words[-1] == "admin@172.30.8.12"
    assert "-i" not in words
    assert "2222" in words


def test_what_the_inventory_leaves_open_is_left_to_ssh(demo: Site) -> None:
    assert demo.ssh(Host("node3", "192.0.2.3"), "uptime") == ["ssh", "192.0.2.3", "uptime"]


def test_where_ansible_becomes_root_commands_do_too(demo: Site) -> None:
    host = Host("node3", "192.0.2.3", user="admin", become=True)
    line = demo.ssh(host, "id -u; echo 'a  b' | cat")[-1]
    words = demo.ssh(host, "id -u; echo 'a  b' | cat")[1:]
    assert words[:4] == ["admin@192.0.2.3", "sudo", "-n", "sh"]
    # What sshd hands to the login shell, with sudo left out.
    said = subprocess.run(["sh", "-c", f"sh -c {line}"], capture_output=True, text=True, check=True).stdout
    assert said.splitlines()[1] == "a  b"
    assert demo.ssh(host)[1:] == ["admin@192.0.2.3"]


def test_hosts_are_reached_as_the_inventory_says(root: Path) -> None:
    inventory = root / "hosts.yml"
    groups = "    edge: {hosts: {one: , two: }}\n    store: {hosts: {two: , one: }}\n"
    inventory.write_text(
        "all:\n  hosts:\n    one: {ansible_host: 192.0.2.1}\n"
        "    two: {ansible_host: 192.0.2.2, ansible_port: 2222}\n"
        f"  vars: {{ansible_become: true, ansible_user: admin}}\n  children:\n{groups}"
    )
    described = ansible.describe([inventory])
    described.write()
    for site in (described, Site.read(described.directory)):
        assert [h.name for h in site.members("edge")] == ["one", "two"]
        # Who is the first of a group runs what only one host runs.
        assert [h.name for h in site.members("store")] == ["two", "one"]
    one, two = described.hosts
    assert (one.user, one.port, one.become) == ("admin", 0, True)
    assert (two.user, two.port, two.become) == ("admin", 2222, True)


def test_members_of_a_group_keep_the_inventorys_order(demo: Site) -> None:
    assert [h.name for h in demo.members("store")] == ["node1", "node2"]
    assert [h.name for h in demo.members("edge")] == ["node1"]
    assert len(demo.members("all")) == 2
    with pytest.raises(Problem, match="no host node9; its hosts: node1, node2"):
        demo.host("node9")
