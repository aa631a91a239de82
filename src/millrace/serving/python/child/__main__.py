"""`python -I DIR FD PLACE MEMORY`: answers on the socket FD with the model in PLACE until it closes."""

import os
import socket
import sys
import traceback
from pathlib import Path

from millrace_process import frames, limits, loading  # type: ignore[import-not-found, unused-ignore]


def main() -> None:
    descriptor, place, memory = int(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    server = socket.socket(fileno=descriptor)
    lost = limits.give_up(memory)
    limits.end_with(server)
    # What the model prints is for the log.
    os.dup2(2, 1)
    try:
        predict = loading.load(place)
    except BaseException as error:
        frames.send(server, {"failed": told(error)})
        return
    frames.send(server, {"ready": True, "lost": lost})
    while True:
        try:
            asked, inputs = frames.receive(server)
        except EOFError:
            return
        limits.allow_cpu(asked["seconds"])
        frames.send(server, *answer(predict, inputs, asked["outputs"]))


def answer(
    predict: loading.Predict, inputs: loading.Arrays, outputs: list[str]
) -> tuple[dict, loading.Arrays]:
    """A message that says how it went, and the outputs."""
    try:
        given = loading.named(predict(inputs))
        lost = [name for name in outputs if name not in given]
        if lost:
            raise KeyError(f"predict gave no {lost[0]!r}, only {', '.join(given)}")
        found = {name: given[name] for name in outputs}
        for array in found.values():
            frames.encode(array[:0])
        return {"ok": True}, found
    except MemoryError:
        return {"memory": True}, {}
    except Exception as error:
        traceback.print_exc()
        return {"error": told(error)}, {}


def told(error: BaseException) -> str:
    """An exception in a line."""
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0][:500]}" if text else type(error).__name__


main()
