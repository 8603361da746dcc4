"""A .ui file as a tree that knows its line numbers (ElementTree forgets them)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from xml.parsers import expat


@dataclass
class Element:
    """One XML element: ``line`` is where its tag opens, ``text`` what stands directly inside it."""

    tag: str
    attributes: dict[str, str]
    line: int
    text: str = ""
    children: list[Element] = field(default_factory=list)

    def get(self, name: str, default: str = "") -> str:
        """An attribute of the tag."""
        return self.attributes.get(name, default)

    def all(self, tag: str) -> list[Element]:
        """Direct children of that tag."""
        return [child for child in self.children if child.tag == tag]

    def first(self, tag: str) -> Element | None:
        """The first direct child of that tag."""
        return next(iter(self.all(tag)), None)

    def every(self, tag: str) -> Iterator[Element]:
        """Every element of that tag below this one, in the order of the file."""
        for child in self.children:
            if child.tag == tag:
                yield child
            yield from child.every(tag)


class NotXml(ValueError):
    """The text is not well-formed; ``line`` is where the parser gave up."""

    def __init__(self, message: str, line: int) -> None:
        super().__init__(message)
        self.line = line


def parseXml(text: str | bytes) -> Element:
    """The root element. NotXml when the text is not well-formed."""
    parser = expat.ParserCreate()
    root = Element("", {}, 0)
    path = [root]

    def opened(tag: str, attributes: dict[str, str]) -> None:
        element = Element(tag, attributes, parser.CurrentLineNumber)
        path[-1].children.append(element)
        path.append(element)

    def closed(_tag: str) -> None:
        path[-1].text = path[-1].text.strip() if path[-1].children else path[-1].text
        path.pop()

    def spoken(text: str) -> None:
        path[-1].text += text

    parser.StartElementHandler, parser.EndElementHandler, parser.CharacterDataHandler = opened, closed, spoken
    try:
        parser.Parse(text, True)
    except expat.ExpatError as error:
        raise NotXml(expat.errors.messages[error.code], error.lineno) from None
    return root.children[0]
