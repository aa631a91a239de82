"""The bootstrap script: what it installs for which verb, and what it says when it cannot."""

import os
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "millrace"
NO_PYTHON = "usable() { return 1; }\n"
# What pip and uv would do, as notes in a file.
FAKE_FILL = 'fill_venv() { echo "$1" >> "$here/filled"; }\n'
FAKE_VENV = 'make_venv() { mkdir -p "$venv/bin"; ln -sf /bin/true "$venv/bin/python"; }\n'


class Bootstrap:
    """A clone with the script alone, whose functions tests replace."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "requirements").mkdir(parents=True)
        for name in ("requirements/cli.txt", "requirements/dev.txt", "pyproject.toml"):
            (root / name).write_text(name)
        (root / "millrace").write_text(SCRIPT.read_text())
        (root / "bin").mkdir()
        self.system("debian", "12")

    def system(self, id: str, version: str) -> None:
        (self.root / "os-release").write_text(f"ID={id}\nVERSION_ID={version}\n")

    def program(self, name: str, body: str) -> None:
        (self.root / "bin" / name).write_text(f"#!/bin/bash\n{body}\n")
        (self.root / "bin" / name).chmod(0o755)

    def run(self, code: str, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Sources the script as if called with `words`, then runs `code`."""
        text = f'. "{self.root}/millrace"\nos_release="{self.root}/os-release"\n{code}'
        path = f"{self.root}/bin:{os.environ['PATH']}"
        return subprocess.run(
            ["bash", "-c", text, "millrace", *words],
            env={"PATH": path, "HOME": str(self.root), **environment},
            capture_output=True, text=True, check=False,
        )  # fmt: skip

    def filled(self) -> list[str]:
        notes = self.root / "filled"
        return [Path(line).name for line in notes.read_text().split()] if notes.exists() else []


@pytest.fixture
def bootstrap(tmp_path: Path) -> Bootstrap:
    return Bootstrap(tmp_path / "clone")


@pytest.mark.parametrize("verb", ["", "--help", "env", "predict", "deploy", "completion", "serve", "bundle"])
def test_most_verbs_need_no_package(bootstrap: Bootstrap, verb: str) -> None:
    assert bootstrap.run("store_full() { false; }; needs", verb).stdout == ""


def test_fetch_needs_maven_but_no_engine(bootstrap: Bootstrap) -> None:
    assert (
        bootstrap.run("store_full() { false; }; needs", "fetch").stdout
        == "maven:mvn default-jre-headless:java\n"
    )
    assert bootstrap.run("store_full() { true; }; needs", "fetch").stdout == ""


def test_tests_need_what_pages_run_in(bootstrap: Bootstrap) -> None:
    assert {"chromium:chromium", "curl:curl"} <= set(bootstrap.run("needs", "test").stdout.split())
    assert "chromium" not in bootstrap.run("needs", "demo").stdout


@pytest.mark.parametrize("verb", ["demo", "test"])
def test_a_box_needs_an_engine_unless_one_is_there(bootstrap: Bootstrap, verb: str) -> None:
    absent = bootstrap.run("has_engine() { false; }; needs", verb).stdout
    assert "docker.io:dockerd" in absent
    assert "mmdebstrap:mmdebstrap" in absent
    present = bootstrap.run("needs", verb, DOCKER_HOST="tcp://127.0.0.1:2375").stdout
    assert "docker.io" not in present
    assert "mmdebstrap:mmdebstrap" in present


def test_a_demo_without_containers_needs_java_alone(bootstrap: Bootstrap) -> None:
    for words in (["demo", "--local"], ["demo", "--port", "9000", "--local"]):
        assert bootstrap.run("has_engine() { false; }; needs", *words).stdout == "default-jre-headless:java\n"
    assert "docker.io" in bootstrap.run("has_engine() { false; }; needs", "demo", "--localhost").stdout


def test_a_demo_that_cannot_have_an_engine_names_the_way_without(bootstrap: Bootstrap) -> None:
    bootstrap.system("fedora", "43")
    code = 'needs() { echo docker.io:no-such; }; prepare_machine "$@"; echo on'
    told = bootstrap.run(code, "demo")
    assert (told.returncode, told.stdout) == (1, "")
    assert "install what Debian calls docker.io" in told.stderr
    assert "'./millrace demo --local' needs only Python and Java" in told.stderr
    for words in (["test"], ["demo", "--local"]):
        assert "--local' needs" not in bootstrap.run(code, *words).stderr


@pytest.mark.parametrize("option", ["--help", "-h", "--offline"])
def test_help_installs_nothing(bootstrap: Bootstrap, option: str) -> None:
    code = f"want() {{ echo want; }}; needs() {{ echo x:no-such; }}; prepare_machine fetch {option}"
    assert bootstrap.run(code).stdout == ""
    assert bootstrap.run(code.replace(option, "")).stdout == "want\n"


def test_packages_on_debian(bootstrap: Bootstrap) -> None:
    for program in ("apt-get", "sudo"):
        bootstrap.program(
            program,
            f'echo "{program} $DEBIAN_FRONTEND $*" >> "$HOME/called"; [ "$1" = -- ] && shift && "$@"; :',
        )
    done = bootstrap.run("mkdir() { :; }; want maven mmdebstrap")
    assert done.returncode == 0
    called = (bootstrap.root / "called").read_text()
    assert "apt-get noninteractive install -q -y --no-install-recommends" in called
    assert called.endswith("maven mmdebstrap\n")


@pytest.mark.parametrize(("id", "version"), [("ubuntu", "24.04"), ("debian", "11"), ("fedora", "43")])
def test_packages_elsewhere_are_named(bootstrap: Bootstrap, id: str, version: str) -> None:
    bootstrap.system(id, version)
    done = bootstrap.run("step() { echo changed; }; want docker.io mmdebstrap")
    assert done.returncode == 1
    assert done.stdout == ""
    assert f"this is {id} {version}" in done.stderr
    assert "install what Debian calls docker.io mmdebstrap" in done.stderr


def test_incomplete_lists_are_read_again(bootstrap: Bootstrap) -> None:
    bootstrap.program("apt-get", 'echo "$*" >> "$HOME/called"; [ "$(wc -l < "$HOME/called")" = 3 ]')
    quick = 'sleep() { :; }; as_root() { "$@"; }; apt_update'
    assert bootstrap.run(quick).returncode == 0
    calls = (bootstrap.root / "called").read_text().splitlines()
    assert len(calls) == 3
    assert all("APT::Update::Error-Mode=any" in call for call in calls)
    bootstrap.program("apt-get", "exit 100")
    assert bootstrap.run(quick).returncode == 1


def test_no_python_is_said(bootstrap: Bootstrap) -> None:
    bootstrap.system("fedora", "43")
    done = bootstrap.run(NO_PYTHON + "make_venv")
    assert done.returncode == 1
    assert "Python 3.11 or newer, with its venv module, is not on the path" in done.stderr
    assert not (bootstrap.root / ".venv").exists()


def test_python_that_is_too_old_is_passed_over(bootstrap: Bootstrap) -> None:
    bootstrap.program("python3", "exit 1")
    bootstrap.program("python3.12", "exit 0")
    found = bootstrap.run('usable() { [[ $1 != /* ]] && "$1" -c ""; }; find_python')
    assert found.stdout == "python3.12\n"


def test_environment_is_made_once(bootstrap: Bootstrap) -> None:
    for verb in ("status", "env"):
        assert bootstrap.run(FAKE_VENV + FAKE_FILL + "prepare_venv", verb).returncode == 0
    assert bootstrap.filled() == ["cli.txt"]


def test_environment_follows_its_lock(bootstrap: Bootstrap) -> None:
    bootstrap.run(FAKE_VENV + FAKE_FILL + "prepare_venv", "status")
    (bootstrap.root / "requirements" / "cli.txt").write_text("another")
    bootstrap.run(FAKE_VENV + FAKE_FILL + "prepare_venv", "status")
    assert bootstrap.filled() == ["cli.txt", "cli.txt"]


def test_tests_get_more_and_the_rest_lives_with_it(bootstrap: Bootstrap) -> None:
    for verb in ("status", "test", "status", "test"):
        bootstrap.run(FAKE_VENV + FAKE_FILL + "prepare_venv", verb)
    assert bootstrap.filled() == ["cli.txt", "dev.txt"]


def test_interrupted_environment_is_finished(bootstrap: Bootstrap) -> None:
    stopped = bootstrap.run(FAKE_VENV + "fill_venv() { exit 130; }\nprepare_venv", "status")
    assert stopped.returncode == 130
    bootstrap.run(FAKE_VENV + FAKE_FILL + "prepare_venv", "status")
    assert bootstrap.filled() == ["cli.txt"]


def test_environment_without_its_python_is_made_again(bootstrap: Bootstrap) -> None:
    bootstrap.run(FAKE_VENV + FAKE_FILL + "prepare_venv", "status")
    (bootstrap.root / ".venv" / "bin" / "python").unlink()
    bootstrap.run(FAKE_VENV + FAKE_FILL + "prepare_venv", "status")
    assert bootstrap.filled() == ["cli.txt", "cli.txt"]


def test_settings_of_pip_reach_uv(bootstrap: Bootstrap) -> None:
    (bootstrap.root / ".venv" / "bin").mkdir(parents=True)
    uv = bootstrap.root / ".venv" / "bin" / "uv"
    uv.write_text('#!/bin/sh\necho "$UV_DEFAULT_INDEX $SSL_CERT_FILE $*"\n')
    uv.chmod(0o755)
    said = bootstrap.run("uv sync", PIP_INDEX_URL="http://mirror/simple", PIP_CERT="/ca.pem").stdout
    assert said == "http://mirror/simple /ca.pem sync\n"
    said = bootstrap.run(
        "uv sync", PIP_INDEX_URL="http://mirror", UV_DEFAULT_INDEX="http://own", PIP_CERT="/ca.pem"
    ).stdout
    assert said == "http://own /ca.pem sync\n"


def test_failed_step_shows_the_end_of_its_output(bootstrap: Bootstrap) -> None:
    done = bootstrap.run("step 'Doing it' bash -c 'echo because; exit 3'; echo $?")
    assert done.stderr == "Doing it\nbecause\n"
    assert done.returncode == 3
