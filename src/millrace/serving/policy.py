"""How a model is served under stress: part of its deployment record, so that a change needs no restart."""

from typing import Annotated, Any

import msgspec
from msgspec import Meta

Seconds = Annotated[float, Meta(gt=0, le=3600)]
Count = Annotated[int, Meta(ge=1, le=100_000)]


class BreakerPolicy(msgspec.Struct, frozen=True):
    """Opens when at least `share` of `calls` or more calls within a window have failed."""

    share: Annotated[float, Meta(gt=0, le=1)] = 0.5
    calls: Count = 20
    window_seconds: Seconds = 10.0
    # After this one call is let through to see whether it is good again.
    open_seconds: Seconds = 5.0


class BatchPolicy(msgspec.Struct, frozen=True):
    """Requests are computed together: up to `rows` of them, and none waits longer than `wait_seconds`."""

    rows: Annotated[int, Meta(ge=2, le=2000)] = 256
    wait_seconds: Annotated[float, Meta(gt=0, le=1)] = 0.002


class FallbackPolicy(msgspec.Struct, frozen=True, omit_defaults=True):
    """What answers when the model cannot: one of the three.

    `constant`: a value, or a row's values, for each output. `version`: of the same model; control adds its
    `digest`. `model`: another model's live version, with the same inputs and outputs.
    """

    constant: dict[str, Any] | None = None
    version: str | None = None
    digest: str = ""
    model: str | None = None


class Policy(msgspec.Struct, frozen=True):
    """Limits of one model in each server process."""

    # From a whole request to its answer; then 504.
    deadline_seconds: Seconds = 10.0
    # Calls that run at one time beside the event loop, and those that may wait for them; then 503.
    concurrency: Annotated[int, Meta(ge=1, le=256)] = 4
    queue: Annotated[int, Meta(ge=0, le=10_000)] = 64
    breaker: BreakerPolicy | None = BreakerPolicy()
    fallback: FallbackPolicy | None = None
    batching: BatchPolicy | None = None


_PARTS: dict[str, type[msgspec.Struct]] = {
    "breaker": BreakerPolicy,
    "fallback": FallbackPolicy,
    "batching": BatchPolicy,
}


def changed(policy: Policy, changes: Any) -> Policy:
    """`policy` with `changes` (a JSON object): a part that is null is switched off, other values are set.

    Raises ValueError that names what is wrong.
    """
    if not isinstance(changes, dict):
        raise ValueError("a policy is an object")
    merged = msgspec.to_builtins(policy)
    for name, value in changes.items():
        _known(Policy, name, "")
        if not isinstance(value, dict):
            merged[name] = value
            continue
        for inner in value:
            _known(_PARTS.get(name, Policy), inner, f"{name}.")
        # A fallback is one of three: a new one takes the old one's place.
        old = merged[name] if isinstance(merged[name], dict) and name != "fallback" else {}
        merged[name] = old | value
    try:
        result = msgspec.convert(merged, Policy)
    except msgspec.ValidationError as error:
        raise ValueError(f"the policy is not valid: {error}") from None
    if result.fallback:
        _check_fallback(result.fallback)
    return result


def _known(part: type[msgspec.Struct], name: str, where: str) -> None:
    fields = [field for field in part.__struct_fields__ if field != "digest"]
    if name not in fields:
        raise ValueError(f"the policy has no {where}{name[:40]}, only {', '.join(fields)}")


def _check_fallback(fallback: FallbackPolicy) -> None:
    given = [name for name in ("constant", "version", "model") if getattr(fallback, name) is not None]
    if len(given) != 1:
        raise ValueError(f"fallback takes one of constant, version and model, {len(given)} are given")
