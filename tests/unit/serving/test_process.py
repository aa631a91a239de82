"""The process itself: TLS, a start without Kafka, an orderly end."""

import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from millrace.serving.config import Tls
from millrace.serving.records import State
from millrace.serving.store import ReplicaStore
from tests.unit.serving.bundles import make_bundle, record_of
from tests.unit.serving.certificates import Authority
from tests.unit.serving.running import INFER, ROWS


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Server:
    """A prediction server with one model on its disk, and no Kafka to ask."""

    def __init__(self, folder: Path) -> None:
        self.authority = Authority(folder / "tls")
        self.tls = self.authority.host("node1.test")
        self.control = self.authority.host("edge1.test")
        self.port = free_port()
        bundle = make_bundle(folder / "made")
        state = folder / "state"
        ReplicaStore(state / "1", "", None).write(State({"tiny": record_of(bundle)}))
        shutil.copytree(bundle.path, state / "1" / "bundles" / bundle.digest.removeprefix("sha256:"))
        (folder / "password").write_text("secret\n")
        self.config = folder / "prediction.toml"
        self.config.write_text(f"""
            name = "node1.test"
            address = "127.0.0.1"
            port = {self.port}
            state_dir = "{state}"
            control_hosts = ["edge1.test"]
            drain_seconds = 0.5
            [tls]
            ca = "{self.tls.ca}"
            certificate = "{self.tls.certificate}"
            key = "{self.tls.key}"
            [kafka]
            brokers = ["127.0.0.1:{free_port()}"]
            username = "prediction"
            password_file = "{folder / "password"}"
            away_after = 0.5
            [registry]
            url = "https://127.0.0.1:1"
            """)
        self.log = folder / "log"
        with self.log.open("w") as log:
            command = [sys.executable, "-m", "millrace.serving", "--config", str(self.config)]
            self.process = subprocess.Popen(command, stderr=log)

    def ask(self, method: str, path: str, tls: Tls | None = None, **options: object) -> requests.Response:
        tls = tls or self.tls
        url = f"https://localhost:{self.port}{path}"
        with requests.Session() as session:
            session.trust_env = False
            session.verify, session.cert = tls.ca, (tls.certificate, tls.key)
            return session.request(method, url, timeout=10, **options)  # type: ignore[arg-type]

    def wait_until_ready(self) -> None:
        for _ in range(200):
            assert self.process.poll() is None, self.log.read_text()
            try:
                if self.ask("GET", "/v2/health/ready").status_code == 200:
                    return
            except requests.ConnectionError:
                pass
            time.sleep(0.1)
        raise AssertionError(self.log.read_text())


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("server"))
    try:
        server.wait_until_ready()
        yield server
    finally:
        server.process.kill()
        server.process.wait()


def test_it_serves_from_its_disk_without_kafka(server: Server) -> None:
    answer = server.ask("POST", INFER, json={"inputs": ROWS})
    assert (answer.status_code, answer.json()["outputs"][0]["data"]) == (200, [2.0, 5.0])


def test_it_talks_only_to_who_has_a_certificate_of_the_site(server: Server, tmp_path: Path) -> None:
    stranger = Authority(tmp_path).host("node1.test")
    foreign = Tls(server.tls.ca, stranger.certificate, stranger.key)
    with pytest.raises(requests.RequestException):
        server.ask("GET", "/v2/health/live", foreign)
    with pytest.raises(requests.RequestException):
        requests.get(f"https://localhost:{server.port}/v2/health/live", verify=server.tls.ca, timeout=10)


def test_only_control_is_told_the_status(server: Server) -> None:
    assert server.ask("GET", "/replica/status").status_code == 403
    status = server.ask("GET", "/replica/status", server.control)
    assert status.json()["models"]["tiny"]["generation"] == 1


def test_a_renewed_certificate_is_used_without_a_restart(server: Server) -> None:
    def presented() -> bytes:
        context = ssl.create_default_context(cafile=server.tls.ca)
        context.load_cert_chain(server.tls.certificate, server.tls.key)
        with (
            socket.create_connection(("127.0.0.1", server.port), 10) as plain,
            context.wrap_socket(plain, server_hostname="localhost") as secure,
        ):
            return secure.getpeercert(binary_form=True) or b""

    before = presented()
    server.authority.host("node1.test")
    for _ in range(150):
        if presented() != before:
            break
        time.sleep(0.1)
    assert presented() != before
    assert server.ask("GET", "/v2/health/live").status_code == 200


def test_it_says_so_before_it_ends_and_ends_orderly(server: Server) -> None:
    server.process.send_signal(signal.SIGTERM)
    seen = []
    while server.process.poll() is None and len(seen) < 1000:
        try:
            seen.append(server.ask("GET", "/v2/health/ready").status_code)
        except requests.ConnectionError:
            break
    assert 503 in seen
    assert server.process.wait(timeout=10) == -signal.SIGTERM


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "name"),
        ("name = [", "prediction.toml"),
        ('colour = "red"', "colour"),
        (
            'name="n"\naddress="192.0.2.1"\nport=1\nstate_dir="s"\nkafka={brokers=[]}\nregistry={url=""}',
            "[tls]",
        ),
    ],
)
def test_a_wrong_configuration_is_one_sentence(tmp_path: Path, text: str, words: str) -> None:
    config = tmp_path / "prediction.toml"
    config.write_text(text)
    command = [sys.executable, "-m", "millrace.serving", "--config", str(config)]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 1
    assert words in run.stderr
    assert len(run.stderr.splitlines()) == 1
