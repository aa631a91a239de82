"""Models that are Python code: each version in a process of its own, asked over a socket.

`child` is what that process runs: it needs numpy alone, because the model brings its own packages.
The server never unpickles anything: rows and answers are arrays of numbers and text.
"""
