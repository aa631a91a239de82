"""`python -m millrace`: the command, where it is not on the path."""

from millrace.cli import app

app(prog_name="millrace")
