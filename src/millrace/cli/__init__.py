"""The command `millrace`: every verb is a thin layer over a playbook or a Python function."""

from importlib import import_module
from importlib.util import find_spec

from millrace.cli.app import app, stands_in

# In the order of the help; each module registers its verb.
VERBS = ["demo", "status", "down", "env", "ssh", "logs", "train", "deploy", "predict", "fetch", "image"]
VERBS += ["bundle", "serve", "docs", "test", "completion"]

for verb in VERBS:
    if find_spec(f"millrace.cli.{verb}"):
        try:
            import_module(f"millrace.cli.{verb}")
        except ModuleNotFoundError as error:
            stands_in(verb, error)

__all__ = ["app"]
