"""A model that computes, and can be made to misbehave by what is asked: 1e6 + n is a mood."""

import os
import re
import socket
import sys
import time
from pathlib import Path

import numpy as np

CRASH, HANG, EAT, RAISE, CALL, WRONG, PRINT, SPIN, LEAVE, HOLD, LARGE, LONG = (1e6 + n for n in range(12))


class Moody:
    def load(self, path: Path) -> None:
        self.factor = float((path / "factor.txt").read_text())
        if self.factor < 0:
            raise ValueError("a negative factor")

    def predict(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        x = inputs["x"]
        self.misbehave(x[0, 0])
        if x[0, 0] == WRONG:
            return {"score": x[:1, 0], "word": inputs["word"]}
        if x[0, 0] == LARGE:
            return {"score": np.ones(1 << 22), "word": inputs["word"]}
        if x[0, 0] == LONG:
            return {"score": x, "word": np.array([["w" * (18 << 20)]], object)}
        return {"score": x * self.factor, "word": inputs["word"]}

    def misbehave(self, mood: float) -> None:
        if mood == CRASH:
            os.abort()
        elif mood == HANG:
            time.sleep(3600)
        elif mood == EAT:
            np.ones(3 << 27)
        elif mood == RAISE:
            raise ValueError("no such customer\nand more")
        elif mood == CALL:
            socket.create_connection((os.environ.get("NOWHERE", "127.0.0.1"), 9), 5)
        elif mood == PRINT:
            print("a word for the log")
            print("another", file=sys.stderr)
        elif mood == SPIN:
            while True:
                pass
        elif mood == HOLD:
            # Keeps Python's lock: no thread of this process runs meanwhile.
            re.match("(a+)+b", "a" * 60)
        elif mood == LEAVE:
            os._exit(7)
