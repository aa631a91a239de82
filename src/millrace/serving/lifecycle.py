"""The life of a service's process: it listens, is told to end, drains, and goes."""

import asyncio
import logging
import os
import signal
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import uvloop

from millrace.serving.config import Tls
from millrace.serving.host import notify_systemd, server_context, watch_certificate
from millrace.serving.http import Listener

log = logging.getLogger("millrace.serving")
_LOOK_S = 5.0


async def listen_until_told(
    listener: Listener,
    address: str,
    port: int,
    tls: Tls | None,
    beside: Callable[[int], Coroutine[Any, Any, None]],
    drain: Callable[[], float],
    finish_seconds: float,
    local: Path | None = None,
) -> None:
    """Listen until SIGTERM or SIGINT, then return.

    `beside(port)` goes on meanwhile; when it fails the process ends, so that systemd starts it anew.
    `drain` is called on SIGTERM and says for how many seconds to go on; requests that run then get
    `finish_seconds`. `local` is a Unix socket to listen at as well, without TLS. Raises OSError when it
    cannot listen.
    """
    loop = asyncio.get_running_loop()
    context = server_context(tls) if tls else None
    port = await listener.start(address, port, context)
    if local:
        await listener.start_local(local)
    ended = asyncio.Event()
    tasks = [loop.create_task(beside(port))]
    if context and tls:
        tasks.append(loop.create_task(_look(watch_certificate(context, tls))))
    for task in tasks:
        task.add_done_callback(_end_with)

    def stop(at_once: bool) -> None:
        if at_once or ended_soon:
            ended.set()
            return
        notify_systemd("STOPPING=1")
        ended_soon.append(loop.call_later(drain(), ended.set))

    ended_soon: list[asyncio.TimerHandle] = []
    loop.add_signal_handler(signal.SIGTERM, stop, False)
    loop.add_signal_handler(signal.SIGINT, stop, True)
    try:
        await ended.wait()
        await listener.close(finish_seconds)
    finally:
        for task in tasks:
            task.cancel()


def run_to_its_end(main: Coroutine[Any, Any, None], last: Callable[[], None]) -> None:
    """Run `main` on uvloop, then `last`, and end the process as SIGTERM does, whatever threads still do."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main)
        last()
        logging.shutdown()
        # A computation that does not end must not keep the process.
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.raise_signal(signal.SIGTERM)


async def _look(look: Callable[[], None]) -> None:
    while True:
        await asyncio.sleep(_LOOK_S)
        try:
            look()
        except OSError as error:
            log.error("the renewed certificate cannot be used: %s", error)


def _end_with(task: asyncio.Task[None]) -> None:
    # A service that no longer looks after itself must not go on as if it did.
    if not task.cancelled() and task.exception():
        log.critical("giving up", exc_info=task.exception())
        os._exit(1)
