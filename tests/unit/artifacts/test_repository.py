"""What the clone says of where software comes from."""

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from millrace.artifacts.bom import load_bom, project_files

ROOT = Path(__file__).parents[3]
# In two halves, so that this file is not found.
HOSTS = [
    ("pypi", "org"),
    ("pythonhosted", "org"),
    ("repo.maven", "apache.org"),
    ("repo1.maven", "org"),
    ("central.sonatype", "com"),
    ("deb.debian", "org"),
    ("security.debian", "org"),
    ("ftp.debian", "org"),
    ("registry.npmjs", "org"),
    ("galaxy.ansible", "com"),
    ("registry-1.docker", "io"),
    ("ghcr", "io"),
    ("quay", "io"),
]


def tracked(root: Path, pattern: str) -> str:
    command = ["git", "-C", str(root), "grep", "--ignore-case", "--fixed-strings", "--line-number", pattern]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    assert found.returncode in (0, 1), found.stderr
    return found.stdout


@pytest.mark.parametrize("host", [".".join(halves) for halves in HOSTS])
def test_no_address_of_a_registry(host: str) -> None:
    assert tracked(ROOT, host) == ""


def test_an_address_would_be_found(tmp_path: Path) -> None:
    host = ".".join(HOSTS[0])
    (tmp_path / "lock.txt").write_text(f"--index-url https://{host}/simple\n")
    for words in (["init", "--quiet"], ["add", "lock.txt"]):
        subprocess.run(["git", *words], cwd=tmp_path, check=True)
    assert tracked(tmp_path, host).startswith("lock.txt:1:")


def pins(lock: Path) -> set[tuple[str, ...]]:
    """Name, version and marker of each line."""
    return set(re.findall(r"^([\w.-]+)==([\w.]+)( ; .*?)? \\$", lock.read_text(), re.MULTILINE))


def test_development_environment_holds_the_ordinary_one() -> None:
    # A .venv made for `test` serves every other verb.
    ordinary, development = (pins(ROOT / "requirements" / name) for name in ("cli.txt", "dev.txt"))
    assert ("ansible", "12.3.0", "") in ordinary
    assert {pin[:2] for pin in ordinary} - {pin[:2] for pin in development} == set()


def test_bootstrap_installs_the_uv_that_the_environment_wants() -> None:
    first = pins(ROOT / "playbooks" / "locks" / "uv.txt")
    assert len(first) == 1
    assert first <= pins(ROOT / "requirements" / "cli.txt")


def test_hosts_run_nothing_that_their_wheel_omits() -> None:
    bom = load_bom(ROOT / "playbooks" / "bom.yml")
    for component in (each for each in bom.components.values() if each.kind == "project"):
        omitted = {name.removesuffix(".py") for name in component.omit}
        files = [path for path in project_files(ROOT, component.omit) if path.suffix == ".py"]
        assert any(path.parts[-2:] == ("serving", "__main__.py") for path in files)
        assert [(path.name, name) for path in files for name in imports(path) if name in omitted] == []


def imports(path: Path) -> Iterator[str]:
    """First parts, below millrace, of the modules that a file imports."""
    package = ("millrace", *path.relative_to(ROOT / "src" / "millrace").parts[:-1])
    for node in ast.walk(ast.parse(path.read_text())):
        modules: list[str] = []
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
            module = ".".join(filter(None, [base, node.module or ""]))
            modules = [f"{module}.{alias.name}" for alias in node.names]
        yield from (module.split(".")[1] for module in modules if module.startswith("millrace."))
