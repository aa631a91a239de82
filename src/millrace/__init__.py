"""Millrace: train a model, register it, deploy it, ask it.

    import millrace

    version = millrace.log_model("bundle", "iris")
    millrace.deploy("iris", version)
    millrace.predict("iris", [{"sepal_length": 5.1, ...}])

Where the site is and who asks comes from the environment: `eval "$(millrace env)"`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from millrace.sdk import (
        FallbackWarning,
        MillraceError,
        deploy,
        deployment,
        log_model,
        predict,
        undeploy,
    )

__all__ = ["FallbackWarning", "MillraceError", "deploy", "deployment", "log_model", "predict", "undeploy"]


def __getattr__(name: str) -> Any:
    # On demand: servers and the command line import this package, too, and must start fast.
    if name in __all__:
        from millrace import sdk

        return getattr(sdk, name)
    raise AttributeError(f"module 'millrace' has no attribute {name!r}")
