"""What a client may take: bytes and seconds."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Sizes are in bytes, times in seconds."""

    body: int = 4 * 1024 * 1024
    # Bodies larger than `small` that are in memory at one time, of all connections.
    pending: int = 32 * 1024 * 1024
    small: int = 16 * 1024
    head: int = 32 * 1024
    # From a request's first byte to the end of its head, and from there to the end of its body.
    head_seconds: float = 10.0
    body_seconds: float = 30.0
    # How long a client may leave an answer unread.
    write_seconds: float = 30.0
    # Longer than the gateway keeps an idle connection, so that it is never closed under a request.
    idle_seconds: float = 120.0
    # After a refusal so much is read and thrown away: a sender hears nothing before it has sent.
    discard: int = 64 * 1024 * 1024
    discard_seconds: float = 10.0
    # Requests of one connection that may wait for an earlier one's answer before no more is read.
    pipelined: int = 32
    # Requests of one connection that are answered before others have their turn.
    burst: int = 16
