"""What a person has done or can mend, told in one sentence."""


class Problem(Exception):
    """Stops a verb without a traceback; the text says what is wrong and what to do about it."""
