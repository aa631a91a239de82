"""Our own Java programs, compiled by a compiler in a jar: whoever has Maven's JRE needs no JDK."""

import io
import os
import zipfile
from collections.abc import Sequence
from pathlib import Path

from .bom import program_files
from .client import Clients

#: The oldest Java that runs what is compiled.
RELEASE = "17"


def compiled(
    clients: Clients, compiler: Sequence[Path], libraries: Sequence[Path], program: Path, tmp: Path
) -> bytes:
    """A jar of the classes of a program; equal sources and jars make equal bytes. Raises ArtifactError."""
    classes = tmp / "classes"
    main = "org.eclipse.jdt.internal.compiler.batch.Main"
    words: list[str | Path] = ["java", "-cp", os.pathsep.join(map(str, compiler)), main, "-proc:none"]
    words += ["-source", RELEASE, "-target", RELEASE, "-encoding", "UTF-8", "-nowarn", "-d", classes]
    words += ["-classpath", os.pathsep.join(map(str, libraries)), *program_files(program)]
    clients.run("java", words, tmp)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(classes.rglob("*.class")):
            archive.writestr(zipfile.ZipInfo(path.relative_to(classes).as_posix()), path.read_bytes())
    return out.getvalue()
