"""Reads a PMML document: elements without their namespace, attributes that are known or refused."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from millrace.models.pmml.errors import InvalidDocument, UnsupportedElement

_WORD = re.compile(r'"((?:[^"\\]|\\.)*)"|(\S+)')


@dataclass(frozen=True)
class Element:
    """An element, its children in order; `Extension`s are left out, since they may not change results."""

    node: ElementTree.Element

    @property
    def name(self) -> str:
        return self.node.tag.rsplit("}", 1)[-1]

    def __iter__(self) -> Iterator[Element]:
        return (child for child in map(Element, self.node) if child.name != "Extension")

    def all(self, *names: str) -> list[Element]:
        return [child for child in self if child.name in names]

    def first(self, *names: str) -> Element | None:
        return next(iter(self.all(*names)), None)

    def one(self, *names: str) -> Element:
        """The child of that name. Raises InvalidDocument when there is none."""
        found = self.first(*names)
        if found is None:
            raise InvalidDocument(f"{self.name} has no {' or '.join(names)}")
        return found

    def get(self, attribute: str, otherwise: str | None = None) -> str:
        """An attribute. Raises InvalidDocument when it is not there and nothing stands for it."""
        value = self.node.get(attribute, otherwise)
        if value is None:
            raise InvalidDocument(f"{self.name} has no attribute {attribute}")
        return value

    def has(self, attribute: str) -> bool:
        return self.node.get(attribute) is not None

    def number(self, attribute: str, otherwise: float | None = None) -> float:
        """An attribute that is a number. Raises InvalidDocument."""
        text = self.get(attribute, None if otherwise is None else repr(otherwise))
        try:
            return float(text)
        except ValueError:
            raise InvalidDocument(f"{self.name} has {attribute}={text!r}, which is no number") from None

    def choice(self, attribute: str, *known: str) -> str:
        """An attribute that must have one of the known values, of which the first is the default."""
        value = self.get(attribute, known[0])
        if value not in known:
            raise UnsupportedElement(
                f"{self.name} with {attribute}={value!r}", f"known is {', '.join(known)}"
            )
        return value

    def refuse(self, *attributes: str) -> None:
        """Raise UnsupportedElement when one of the attributes is there."""
        for attribute in attributes:
            if self.has(attribute):
                raise UnsupportedElement(f"{self.name} with {attribute}={self.get(attribute)!r}")

    def only(self, *names: str) -> None:
        """Raise UnsupportedElement for a child of another name."""
        for child in self:
            if child.name not in names:
                raise UnsupportedElement(f"{child.name} in {self.name}")

    def words(self) -> list[str]:
        """The values of an Array of text: in quotes where they have spaces."""
        return [
            re.sub(r"\\(.)", r"\1", quoted) if quoted or not plain else plain
            for quoted, plain in _WORD.findall(self.node.text or "")
        ]

    @property
    def text(self) -> str:
        return self.node.text or ""


def read(document: str | os.PathLike[str] | bytes) -> Element:
    """The root of a document: a file, or its bytes. Raises InvalidDocument."""
    content = document if isinstance(document, bytes) else Path(document).read_bytes()
    where = "the document" if isinstance(document, bytes) else os.fspath(document)
    if b"<!DOCTYPE" in content or b"<!ENTITY" in content:
        raise InvalidDocument(f"{where} declares a document type or entities, which PMML does not need")
    try:
        root = Element(ElementTree.fromstring(content))
    except ElementTree.ParseError as error:
        raise InvalidDocument(f"{where} is not XML: {error}") from error
    if root.name != "PMML":
        raise InvalidDocument(f"{where} is not PMML: its root is {root.name}")
    return root
