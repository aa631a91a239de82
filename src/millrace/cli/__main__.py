"""`python -m millrace.cli`."""

from millrace.cli import app

app(prog_name="millrace")
