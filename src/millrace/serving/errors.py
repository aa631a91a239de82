"""Why a request gets no prediction."""


class Unanswered(Exception):
    """The text says what is wrong, and what to do about it.

    `status` is HTTP's, `reason` a word for metrics; after `retry_after` seconds it may be asked again.
    """

    def __init__(self, status: int, text: str, reason: str = "refused", retry_after: int = 0) -> None:
        super().__init__(text)
        self.status = status
        self.reason = reason
        self.retry_after = retry_after
        # The method that is answered, where another one is not.
        self.allow = ""


class BadRequest(Unanswered):
    """What is wrong with a request, in words for its sender."""

    def __init__(self, text: str) -> None:
        super().__init__(400, text)


class Away(Exception):
    """Kafka does not answer; says why."""


def brief(value: object, most: int = 80) -> str:
    """What a client sent, for an error's text: not longer than `most` characters."""
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= most else text[: most - 3] + "..."
