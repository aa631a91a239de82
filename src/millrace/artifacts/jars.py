"""Jars, by Maven's dependency plugin."""

from collections.abc import Sequence
from pathlib import Path

from .client import Clients
from .errors import WrongChecksum
from .locks import Jar
from .store import Store, digest

COPY = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"
HEAD = """<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
<groupId>millrace</groupId><artifactId>fetch</artifactId><version>1</version><packaging>pom</packaging>
<dependencies>
"""
DEPENDENCY = """<dependency>
<groupId>{group}</groupId><artifactId>{artifact}</artifactId><version>{version}</version>{classifier}
<exclusions><exclusion><groupId>*</groupId><artifactId>*</artifactId></exclusion></exclusions>
</dependency>
"""
TAIL = "</dependencies></project>\n"


def pom(jars: Sequence[Jar]) -> str:
    """A project that depends on exactly these jars."""
    return HEAD + "".join(_dependency(jar) for jar in jars) + TAIL


def _dependency(jar: Jar) -> str:
    # No escaping: locks allow no character that needs it.
    classifier = f"<classifier>{jar.classifier}</classifier>" if jar.classifier else ""
    return DEPENDENCY.format(
        group=jar.group, artifact=jar.artifact, version=jar.version, classifier=classifier
    )


def download(clients: Clients, store: Store, jars: Sequence[Jar], tmp: Path) -> None:
    """Brings the jars into the store, each compared with its lock."""
    wrong = _attempt(clients, store, jars, tmp / "first")
    for jar in wrong:
        (store.root / "maven" / jar.path).unlink(missing_ok=True)
    if wrong and (wrong := _attempt(clients, store, wrong, tmp / "second")):
        raise WrongChecksum(f"mvn brought {wrong[0].path} with another sha256 than its lock has, twice")


def _attempt(clients: Clients, store: Store, jars: Sequence[Jar], tmp: Path) -> list[Jar]:
    tmp.mkdir()
    (tmp / "pom.xml").write_text(pom(jars))
    into = copy(clients, store, tmp / "pom.xml", tmp)
    wrong = []
    for jar in jars:
        file = into / jar.path
        if file.is_file() and digest(file) == jar.sha256:
            store.keep(file, jar.sha256)
            # Once is enough: Maven's own copy goes.
            (store.root / "maven" / jar.path).unlink(missing_ok=True)
        else:
            wrong.append(jar)
    return wrong


def copy(clients: Clients, store: Store, project: Path, tmp: Path, *options: str) -> Path:
    """Copies what a project depends on to a directory, laid out like a repository, and returns it."""
    into = tmp / "jars"
    # A repository of our own: a wrong file can be taken out of it, and the user's stays as it is.
    options += ("-Dmdep.useRepositoryLayout=true", f"-DoutputDirectory={into}")
    options += (f"-Dmaven.repo.local={store.root / 'maven'}",)
    clients.run("mvn", ["mvn", "--batch-mode", "--quiet", "--file", project, COPY, *options], tmp)
    return into
