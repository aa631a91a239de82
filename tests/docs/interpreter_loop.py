"""The Python process of a page: runs what it reads, line by line of JSON, and tells how each ended.

Started as a program by the Python that the page asks for, so it needs nothing but the standard library.
"""

import code
import json
import os
import sys

answers = int(sys.argv[1])
requests = os.fdopen(os.dup(0))
os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
sys.argv = [""]
sys.path[0] = ""


class Console(code.InteractiveInterpreter):
    """Remembers whether the last code raised."""

    raised = False

    def showtraceback(self) -> None:
        self.raised = True
        super().showtraceback()


console = Console({"__name__": "__main__"})
for line in requests:
    text, mode = json.loads(line)
    console.raised = False
    try:
        compiled = compile(text, "<page>", mode)
    except SyntaxError:
        console.showsyntaxerror("<page>")
        console.raised = True
    else:
        console.runcode(compiled)
    sys.stdout.flush()
    sys.stderr.flush()
    os.write(answers, f"{int(console.raised)}\n".encode())
