"""Bundles that hold Python code: what neither ONNX nor a table can hold.

    python.json         how the code is entered: a class with `load` and `predict`, or an MLflow pyfunc
    code.tar            code/ on the module path, artifacts/ for `load`
    requirements.txt    the packages that it needs, locked by hashes; empty: numpy and the standard library
    wheels.tar          those packages, for hosts that reach no registry; may be left out

A prediction server runs them in a process of their own, see `millrace.serving.python`.
"""

from __future__ import annotations

import msgspec

from millrace.models.bundle import Bundle, InvalidBundle

ENTRY, CODE, REQUIREMENTS, WHEELS = "python.json", "code.tar", "requirements.txt", "wheels.tar"
MEMORY = 2 << 30  # bytes of address space, unless the bundle says otherwise


class Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The content of python.json. `entry` is `module:Class` for a class, and empty for an MLflow pyfunc."""

    kind: str
    entry: str = ""
    memory: int = MEMORY

    @classmethod
    def of(cls, bundle: Bundle) -> Entry:
        """Raises InvalidBundle."""
        try:
            entry = msgspec.json.decode(bundle.read(ENTRY), type=cls)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise InvalidBundle(f"{ENTRY} cannot be read: {error}") from error
        if entry.kind not in ("class", "mlflow"):
            raise InvalidBundle(f"{ENTRY} names the unknown kind {entry.kind!r}")
        return entry
