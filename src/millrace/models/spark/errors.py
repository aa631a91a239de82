"""What the converter says when it cannot be exact."""


class ConversionError(Exception):
    """The folder is not a PipelineModel that can be converted; the text says what is wrong."""


class UnsupportedStage(ConversionError):
    """A stage, or a parameter of it, that has no exact counterpart here. It is named, never guessed."""

    def __init__(self, class_name: str, uid: str, reason: str = "this kind of stage is not known") -> None:
        self.class_name, self.uid, self.reason = class_name, uid, reason
        super().__init__(f"cannot convert {class_name} ({uid}): {reason}")
