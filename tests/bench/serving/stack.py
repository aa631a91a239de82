"""All servers of the comparison, started on loopback in a scratch folder."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from string import Template

from millrace import project
from millrace.cli import environments
from tests.bench.serving.processes import Server, free_ports

HERE = Path(__file__).parent
BASELINE = HERE / "baseline"
_MODULES = ("/usr/lib/apache2/modules", "/usr/lib64/httpd/modules")
_READY = "/v2/health/ready"


class Stack:
    """Servers by name, and the addresses they answer at."""

    def __init__(self, scratch: Path) -> None:
        self.scratch = scratch
        self.servers: dict[str, Server] = {}
        self.urls: dict[str, str] = {}

    def server(self, name: str) -> Server:
        """A server without processes yet."""
        self.servers[name] = Server(self.scratch / f"{name}.log")
        return self.servers[name]

    def baseline(self) -> None:
        """flask under gunicorn behind apache2, two of them behind a load balancer: `chain`.

        `flat` is the cheaper form, one apache2 that balances the two flasks itself.
        """
        python = environments.make("bench", self.scratch / "environment.log")
        models = self._pickles(python, "pickles")
        port, flat_port, first_port, second_port, first, second = free_ports(6)
        server = self.server("baseline")
        for flask in (first, second):
            server.start(
                [
                    python,
                    "-m",
                    "gunicorn",
                    "--chdir",
                    BASELINE,
                    "--bind",
                    f"127.0.0.1:{flask}",
                    "--no-control-socket",
                    "app:app",
                ],
                MODELS=str(models),
                PYTHONPATH="",
                OMP_NUM_THREADS="1",
            )
            server.wait(f"http://127.0.0.1:{flask}{_READY}")
        configuration = self._render(
            BASELINE / "apache2.conf",
            modules=next((place for place in _MODULES if Path(place).is_dir()), _MODULES[0]),
            # Started by root, apache2 wants to serve as somebody else.
            user="" if os.geteuid() else "User nobody",
            port=port,
            flat_port=flat_port,
            first_port=first_port,
            second_port=second_port,
            first_flask=first,
            second_flask=second,
        )
        server.start([program("apache2", "apache2-bin"), "-f", configuration, "-DFOREGROUND"])
        self.urls |= {"chain": f"http://127.0.0.1:{port}", "flat": f"http://127.0.0.1:{flat_port}"}
        for name in ("chain", "flat"):
            server.wait(self.urls[name] + _READY)

    def mlserver(self) -> None:
        """MLServer with its runtime for scikit-learn, computing in the server's own process: `mlserver`."""
        python = environments.make("mlserver", self.scratch / "environment.log")
        models = self._pickles(python, "mlserver")
        http, grpc, metrics = free_ports(3)
        settings = {"host": "127.0.0.1", "http_port": http, "grpc_port": grpc, "metrics_port": metrics}
        settings |= {"parallel_workers": 0, "debug": False}
        (models / "settings.json").write_text(json.dumps(settings))
        for name in ("tree", "forest"):
            place = models / name
            place.mkdir()
            (models / f"{name}.joblib").rename(place / "model.joblib")
            model = {"name": name, "implementation": "mlserver_sklearn.SKLearnModel"}
            text = json.dumps({**model, "parameters": {"uri": "./model.joblib"}})
            (place / "model-settings.json").write_text(text)
        server = self.server("mlserver")
        server.start([python.parent / "mlserver", "start", models], PYTHONPATH="", OMP_NUM_THREADS="1")
        self.urls["mlserver"] = f"http://127.0.0.1:{http}"
        server.wait(self.urls["mlserver"] + _READY)

    def nginx(self, answer: bytes) -> None:
        """nginx that always says `answer`: `nginx`."""
        (port,) = free_ports(1)
        configuration = self._render(HERE / "nginx.conf", port=port, answer=answer.decode())
        server = self.server("nginx")
        server.start([program("nginx", "nginx-light"), "-p", self.scratch, "-c", configuration])
        self.urls["nginx"] = f"http://127.0.0.1:{port}"
        server.wait(self.urls["nginx"])

    def alone(self, models: Path) -> None:
        """One `millrace serve`, plain HTTP: `alone`."""
        self.urls["alone"] = serve(self.server("alone"), models)

    def gateway(self, models: Path) -> None:
        """HAProxy before two servers: `plain`, `tls` to the client, `site` with TLS to the servers, too.

        `spread` and `spread_tls` never fill one server before the other.
        """
        certificate = self._certificate()
        ways = {"plain": "http", "tls": "https", "spread": "http", "spread_tls": "https", "site": "https"}
        names = [*(f"{way}_port" for way in ways), "metrics_port", "first", "second"]
        ports = dict(zip(names, free_ports(len(names)), strict=True))
        configuration = self._render(HERE / "haproxy.cfg", certificate=certificate, **ports)
        proxy = [program("haproxy", "haproxy"), "-W", "-db", "-f", configuration]
        server = self.server("gateway")
        for each in ("first", "second"):
            words = [sys.executable, "-m", "tests.bench.serving.ours", models, str(ports[each]), certificate]
            server.start([*words, self.scratch / f"{each}.sock"], PYTHONPATH=_sources())
        self.server("haproxy").start(proxy)
        self.urls |= {way: f"{scheme}://127.0.0.1:{ports[f'{way}_port']}" for way, scheme in ways.items()}
        for name in ways:
            self.servers["haproxy"].wait(self.urls[name] + _READY)

    def stop(self) -> None:
        """End all of them."""
        for server in self.servers.values():
            server.stop()

    def _pickles(self, python: Path, name: str) -> Path:
        folder = self.scratch / name
        folder.mkdir()
        subprocess.run([python, BASELINE / "train.py", folder], check=True)
        return folder

    def _render(self, template: Path, **values: object) -> Path:
        place = self.scratch / template.name
        place.write_text(Template(template.read_text()).substitute(scratch=self.scratch, **values))
        return place

    def _certificate(self) -> Path:
        """A key and a self-signed certificate for localhost, in one file; it is its own CA."""
        place = self.scratch / "certificate.pem"
        words = ["openssl", "req", "-x509", "-nodes", "-days", "2", "-newkey", "ec"]
        words += ["-pkeyopt", "ec_paramgen_curve:prime256v1"]
        words += ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
        words += ["-keyout", str(place), "-out", str(self.scratch / "certificate.crt")]
        subprocess.run(words, check=True, capture_output=True)
        with place.open("ab") as file:
            file.write((self.scratch / "certificate.crt").read_bytes())
        return place


@contextmanager
def standing(scratch: Path) -> Iterator[Stack]:
    """A stack without servers yet; all that were started end with the block."""
    # apache2's children, another user, keep nothing there but must be able to reach it.
    scratch.chmod(0o755)
    stack = Stack(scratch)
    try:
        yield stack
    finally:
        stack.stop()


def serve(server: Server, models: Path) -> str:
    """Start `millrace serve` as a server, ready when this returns with its address."""
    (port,) = free_ports(1)
    words = [sys.executable, "-m", "millrace.cli", "serve", models, "--port", str(port)]
    # Compiled when it starts the second time, as on a host, where all is compiled when it is installed.
    compiled = {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(server.log.parent / "compiled")}
    server.start(words, PYTHONPATH=_sources(), **compiled)
    server.wait(f"http://127.0.0.1:{port}{_READY}")
    return f"http://127.0.0.1:{port}"


def _sources() -> str:
    return f"{project.root() / 'src'}:{project.root()}"


def program(name: str, package: str) -> str:
    """Where a program of apt's is. Raises SystemExit that names the package."""
    found = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
    if found is None:
        raise SystemExit(f"{name} is not installed: apt install {package}")
    return found
