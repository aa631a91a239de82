"""The steps that make a site on this machine."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import yaml

from millrace import ansible, project
from millrace.box import engine, host, image, machine, network
from millrace.cli import converge, program
from millrace.cli.gateway import Gateway
from millrace.cli.screen import Line, Screen
from millrace.cli.steps import Step
from millrace.problem import Problem
from millrace.site import Site, state_root

NODE = "node1"
PORT = 8443
MODELS = ("iris", "flights")
WITHOUT = "Where no container can run, `./millrace demo --local` makes the journey on this machine alone."


class Making:
    """A site in the making: what was asked for, and the steps from an empty machine to answers."""

    def __init__(self, name: str, port: int | None, subnet: str | None, forwarders: tuple[str, ...]) -> None:
        self.name, self._asked_port, self._subnet, self._forwarders = name, port, subnet, forwarders
        self.directory = state_root() / name
        self.command = "./millrace demo" + ("" if name == "demo" else f" --site {name}")
        self.began = time.monotonic()

    def steps(self) -> list[Step | tuple[Step, ...]]:
        """All of the demo, in order; a tuple's go side by side."""
        from millrace.cli.models import train_and_deploy

        return [
            *self.site_steps(),
            *(s for model in MODELS for s in train_and_deploy(model, lambda: self.site)),
        ]

    def site_steps(self) -> list[Step | tuple[Step, ...]]:
        """From the machine to a converged site, without models."""
        return [*self.host_steps(), Step("site.yml", self._converge, self._converged)]

    def host_steps(self) -> list[Step | tuple[Step, ...]]:
        """From the machine to a host that is ready to converge, and all that the site will need."""
        from millrace.cli.models import training_environment

        return [
            Step("this machine", self._check),
            Step("Docker engine", self._engine, self._engine_there),
            (
                Step("host image", self._image, self._image_there),
                Step("artifacts", self._fetch, self._fetched),
                training_environment(self._log("training-environment")),
            ),
            Step("host", self._host, self._host_there),
        ]

    @property
    def site(self) -> Site:
        return Site.read(self.directory)

    def _log(self, name: str) -> Path:
        return self.directory / "logs" / f"{name}.log"

    def _port(self) -> int:
        """The port that was asked for, else the one that the site has. Raises Problem when they differ."""
        client = engine.answering()
        there = host.find(client, self.name, NODE) if client else None
        has = host.published_port(there) if there else None
        if has and self._asked_port and has != self._asked_port:
            raise Problem(
                f"Site {self.name} already has port {has}: leave --port out, "
                f"or `./millrace down --site {self.name}`."
            )
        return has or self._asked_port or PORT

    def _check(self, line: Line) -> str:
        """Everything that can be known to be missing, before anything is changed."""
        from millrace.artifacts import ArtifactError, Store, reach

        system = machine.check_distribution(Path("/etc/os-release").read_text())
        try:
            client = engine.answering()
        except Problem as problem:
            raise Problem(f"{problem}\n{WITHOUT}") from problem
        there = host.find(client, self.name, NODE) if client else None
        memory = machine.check_memory(Path("/proc/meminfo").read_text(), 0 if there else machine.FREE_MEMORY)
        root = Path(client.info()["DockerRootDir"]) if client else Path("/var/lib/docker")
        places = {
            "containers": root,
            "the artifact store": Store(None).root,
            "the site's state": self.directory,
        }
        # A host that is there already has most of what it needs.
        free = machine.check_disk(places, 1 << 30 if there else machine.DISK)
        port = self._port()
        if there is None or there.status != "running":
            if client:
                host.check_publisher(client, port)
            machine.check_port(port)
        if client and there is None and network.find(client, self.name) is None:
            network.plan(client, self._subnet)
        self._forwarders = tuple(map(machine.check_address, self._forwarders)) or tuple(machine.nameservers())
        line.note("asking the registries")
        try:
            reach()
        except ArtifactError as error:
            raise Problem(str(error)) from error
        return f"{system}, {memory / 1e9:.0f} GB of memory, {free / 1e9:.0f} GB free"

    def _engine_there(self, line: Line) -> str | None:
        client = engine.answering()
        return f"version {client.version()['Version']} answers" if client else None

    def _engine(self, line: Line) -> str:
        try:
            return f"version {engine.start(line.note).version()['Version']} started"
        except Problem as problem:
            raise Problem(f"{problem}\n{WITHOUT}") from problem

    def _image_there(self, line: Line) -> str | None:
        return image.TAG if image.current(engine.connect()) else None

    def _image(self, line: Line) -> str:
        image.build(
            engine.connect(), lambda words, listen: program.run(words, self._log("image"), listen), line.note
        )
        return f"{image.TAG} built"

    def _fetched(self, line: Line) -> str | None:
        from millrace.artifacts import MissingArtifact, Store, check

        try:
            found = check()
        except MissingArtifact:
            return None
        return f"{len(found)} in {Store(None).root}"

    def _fetch(self, line: Line) -> str:
        from millrace.artifacts import Store

        said: list[str] = []

        def listen(text: str) -> None:
            said.append(text)
            line.note(text)

        # A process of its own, so that an interrupt ends it at once.
        if program.run([sys.executable, "-m", "millrace.artifacts", "fetch"], self._log("fetch"), listen):
            raise Problem(said[-1] if said else f"Artifacts could not be fetched: {self._log('fetch')}")
        return f"fetched into {Store(None).root}"

    def _host_there(self, line: Line) -> str | None:
        there = host.find(engine.connect(), self.name, NODE)
        try:
            site = self.site
        except FileNotFoundError:
            return None
        if there is None or there.status != "running" or dict(site.containers) != {NODE: there.id}:
            return None
        return f"{NODE} at {site.host(NODE).address}" if host.answers(site.host(NODE).address) else None

    def _host(self, line: Line) -> str:
        client = engine.connect()
        self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        private, public = host.key_pair(self.directory)
        net = network.make(client, self.name, self._subnet)
        container = host.make(client, self.name, NODE, 0, net, public, self._port())
        address = host.address_of(container, net)
        (self.directory / "known_hosts").write_text(host.host_keys(container, address, line.note))
        self._write_inventory(address, private)
        self._describe(str(container.id))
        return f"{NODE} at {address} answers ssh"

    def _write_inventory(self, address: str, key: Path) -> None:
        known = self.directory / "known_hosts"
        host_vars = {
            "ansible_host": address,
            "ansible_user": "root",
            "ansible_ssh_private_key_file": str(key),
            "ansible_ssh_common_args": f"-o UserKnownHostsFile={known} -o IdentitiesOnly=yes",
        }
        variables = {
            "site_name": self.name,
            "site_state": str(self.directory),
            "site_gateway": f"localhost:{self._port()}",
            "dns_forwarders": list(self._forwarders),
            "site_extra_ca": [str(path) for path in machine.extra_ca()],
        }
        # A file of group variables: those of the inventory before it come after variables inside hosts.yml.
        place = self.directory / "inventory"
        (place / "group_vars").mkdir(parents=True, exist_ok=True)
        (place / "hosts.yml").write_text(
            yaml.safe_dump({"all": {"hosts": {NODE: host_vars}}}, sort_keys=False)
        )
        (place / "group_vars/all.yml").write_text(yaml.safe_dump(variables, sort_keys=False))

    def _describe(self, container: str) -> None:
        """Write site.json: what every other verb reads."""
        import dataclasses

        inventories = [
            project.playbooks() / "inventories/single-node",
            self.directory / "inventory/hosts.yml",
        ]
        site = ansible.describe(inventories)
        dataclasses.replace(site, containers={NODE: container}).write()

    def _converged(self, line: Line) -> str | None:
        line.note("asking the services")
        if not converge.unchanged(self.site):
            return None
        trouble = Gateway(self.site).trouble()
        if trouble:
            line.say(f"{trouble}: converging again")
            return None
        return "nothing changed, all services answer"

    def _converge(self, line: Line) -> str:
        changed = converge.run(self.site, line.note, line.say)
        converge.keep(self.site)
        return f"{changed} tasks changed something"

    def report(self, screen: Screen) -> None:
        """Answers of both models, addresses, and what to try next."""
        from millrace.cli.models import ask

        site = self.site
        for model in MODELS:
            screen.write("")
            ask(site, model, screen.write)
        option = "" if self.name == "demo" else f" --site {self.name}"
        port = site.gateway.rsplit(":", 1)[1]
        users = ", ".join(f"{user['name']} ({user['group']})" for user in site.users)
        screen.write(
            f"""
{self.name} is up after {time.monotonic() - self.began:.0f} s.
  {site.url + "/v2":<34} predictions, no login
  https://registry.localhost:{port}    MLflow            https://spark.localhost:{port}       Spark
  https://prometheus.localhost:{port}  metrics           https://spark-history.localhost:{port}  finished jobs
  https://docs.localhost:{port}        these docs
  users      {users}; passwords: {site.secrets}
  CA         {site.ca}
Try next:
  ./millrace status{option}
  ./millrace predict flights --file examples/flights/rows.json{option}
  eval "$(./millrace env{option})"      then MLflow, Spark Connect and the SDK know the site
  ./millrace logs prediction{option}
  ./millrace down{option}               it goes; what was fetched stays for the next one"""
        )
