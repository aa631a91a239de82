"""Why a model did not become a bundle."""


class CannotBundle(Exception):
    """The model, or its sample rows, cannot become a bundle; the text says why and what to do about it."""


class MissingExtra(ImportError):
    """A library that is needed is not installed; the text names the pip command."""

    def __init__(self, what: str, module: str, extra: str) -> None:
        self.extra = extra
        super().__init__(f"{what} needs {module}, which is not installed: pip install 'millrace[{extra}]'")
