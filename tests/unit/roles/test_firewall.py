"""Rules of the firewall, rendered as for a host."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

PLAYBOOKS = Path(__file__).parents[3] / "playbooks"
GROUPS = ("edge", "store", "train", "stream", "serve", "observe")


def rules(directory: Path, **variables: object) -> str:
    """What base writes for the only host of a site."""
    groups = "".join(f"    {group}: {{hosts: {{node1: }}}}\n" for group in GROUPS)
    (directory / "hosts.yml").write_text(
        f"all:\n  hosts:\n    node1: {{ansible_host: 192.0.2.10}}\n  children:\n{groups}"
    )
    place = directory / "rules.nft"
    extra = json.dumps({"base_ssh_from": [], "base_ssh_ports": [22], **variables})
    run = subprocess.run(
        [Path(sys.executable).parent / "ansible", "node1", "-i", directory / "hosts.yml", "-c", "local",
         "--playbook-dir", PLAYBOOKS, "-e", f"ansible_python_interpreter={sys.executable}", "-e", extra,
         "-m", "ansible.builtin.template",
         "-a", f"src={PLAYBOOKS}/roles/base/templates/nftables.nft.j2 dest={place}"],
        env={**os.environ, "ANSIBLE_CONFIG": str(PLAYBOOKS / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stdout + run.stderr
    return place.read_text()


def test_who_may_ask_for_names_comes_through(tmp_path: Path) -> None:
    text = rules(tmp_path, dns_clients=["192.0.2.0/24", "2001:db8::/64"])
    for protocol in ("tcp", "udp"):
        assert f'ip saddr {{ 192.0.2.0/24 }} {protocol} dport 53 accept comment "dns"' in text
        assert f'ip6 saddr {{ 2001:db8::/64 }} {protocol} dport 53 accept comment "dns"' in text


def test_nobody_else_does(tmp_path: Path) -> None:
    from_where = [line.split("dport")[0] for line in rules(tmp_path).splitlines() if 'comment "dns"' in line]
    assert {line.split("}")[0].strip() for line in from_where} == {"ip saddr { 192.0.2.10"}
