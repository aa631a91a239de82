"""What the converter says when it cannot be exact."""


class InvalidDocument(Exception):
    """The document is not PMML that can be converted; the text says what is wrong."""


class UnsupportedElement(InvalidDocument):
    """An element, or an attribute of it, that has no exact counterpart here. It is named, never guessed."""

    def __init__(self, element: str, reason: str = "this element is not known") -> None:
        self.element, self.reason = element, reason
        super().__init__(f"cannot convert {element}: {reason}")
