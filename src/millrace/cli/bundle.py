"""`millrace bundle`: what training leaves becomes a bundle that has passed the gate."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from millrace.cli.app import app, examples
from millrace.problem import Problem


def complete_kind(incomplete: str) -> list[str]:
    from millrace.models.frameworks.files import KINDS

    return [kind for kind in KINDS if kind.startswith(incomplete)]


@app.command(
    epilog=examples(
        "millrace bundle iris.joblib --rows iris.csv --out models/iris",
        "millrace bundle pipeline/ --rows flights.parquet --out models/flights/2",
        "millrace bundle churn.py --entry Churn --rows churn.csv --out models/churn",
        "millrace bundle models/iris",
    )
)
def bundle(
    model: Annotated[
        Path,
        typer.Argument(
            help="A file of scikit-learn (.joblib, .pkl), XGBoost (.json, .ubj), LightGBM (.txt), "
            "Keras (.keras), PyTorch (.pt2, .pt), PMML or ONNX; the folder of a saved Spark pipeline or "
            "MLflow model; Python code (.py, or a folder); or a bundle, to check it."
        ),
    ],
    rows: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Sample rows (.csv, .json, .parquet, .npy, .npz). For ONNX also the framework's answers, "
            "in columns named as the outputs.",
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="DIR", help="The bundle; empty or not there.")
    ] = None,
    framework: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="When the file's ending does not tell.", autocompletion=complete_kind
        ),
    ] = None,
    output: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Name of an output (Keras, PyTorch, Spark); may be repeated."),
    ] = None,
    made_by: Annotated[
        str | None,
        typer.Option(metavar="TEXT", help="The program that gave the answers among the rows (ONNX, PMML)."),
    ] = None,
    entry: Annotated[
        str | None,
        typer.Option(metavar="CLASS", help="Python code: its class, or module:Class."),
    ] = None,
    artifacts: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Python code: what its load(path) gets.")
    ] = None,
    requirements: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Python code, MLflow: its packages, locked with hashes."),
    ] = None,
    wheels: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Python code, MLflow: those packages, for hosts without a registry."
        ),
    ] = None,
    memory: Annotated[
        int,
        typer.Option(min=64, metavar="MB", help="Python code, MLflow: the memory that its process may use."),
    ] = 2048,
    most_rows: Annotated[
        int, typer.Option(min=1, metavar="N", help="Verification rows, evenly taken from more.")
    ] = 500,
) -> None:
    """Make a bundle of a trained model and some rows, and check it; or check one.

    The training framework itself answers the rows; a bundle that does not give the same answers is refused.
    Opening a pickle, joblib or .pt file runs code that is in it: open those of your own alone.
    """
    from millrace.models import Bundle, InvalidBundle, VerificationFailed, verify
    from millrace.models.bundle import MANIFEST
    from millrace.models.frameworks import CannotBundle, MissingExtra
    from millrace.models.frameworks.bundling import PythonCode, bundle_file
    from millrace.models.frameworks.files import KINDS

    if framework and framework not in KINDS:
        raise Problem(f"There is no framework {framework!r} here; known are {', '.join(KINDS)}.")
    try:
        if (model / MANIFEST).is_file():
            made = Bundle.load(model)
            verify(made)
        elif out is None:
            raise Problem("Where shall the bundle be written? --out DIR")
        else:
            made = bundle_file(
                model,
                rows,
                out,
                kind=framework,
                outputs=output or (),
                made_by=made_by,
                code=PythonCode(entry or "", artifacts, requirements, wheels, memory << 20),
                most_rows=most_rows,
                report=typer.echo,
            )
    except VerificationFailed as error:
        raise Problem(f"The gate refuses this model: {error}") from error
    except (CannotBundle, MissingExtra, InvalidBundle, FileExistsError) as error:
        raise Problem(str(error)) from error
    for kind, tensors in (("takes", made.inputs), ("gives", made.outputs)):
        listed = ", ".join(f"{t.name} {t.datatype} {list(t.shape)}" for t in tensors)
        typer.echo(f"{kind} {listed}")
    count = made.verification().rows
    typer.echo(f"{made.path} gives the answers of {made.manifest.framework} for {count} rows: {made.digest}")
