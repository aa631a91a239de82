"""The directory that a model's process runs: `python -I child ...`."""
