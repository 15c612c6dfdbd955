"""The XML of a configuration as elements that know where they stand in the text the operator wrote.

Read by expat through defusedxml's SAX parser: document type declarations, entities and external references are
refused. A tree of :mod:`xml.etree` was rejected because it forgets lines, columns and prefixes.
"""

from __future__ import annotations

from codecs import BOM_UTF8
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import NoReturn
from xml.sax import SAXParseException
from xml.sax.handler import ContentHandler, feature_namespaces
from xml.sax.xmlreader import AttributesNSImpl, Locator

from defusedxml import DefusedXmlException, DTDForbidden
from defusedxml.expatreader import DefusedExpatParser

from kwic.config.problem import ConfigError, Place, Problem

LARGEST_FILE = 2**20
"""Bytes; a configuration of 1000 services is a third of it."""
DEEPEST_ELEMENT = 16
"""The format itself needs 6."""
MOST_ELEMENTS = 20_000
"""Keeps a file full of mistakes from taking minutes to complain about."""

_HINTS: Mapping[str, str] = {
    "not well-formed (invalid token)": "in XML, & is written &amp; and < is written &lt;",
    "undefined entity": "only &amp; &lt; &gt; &quot; &apos; and &#…; are known",
    "junk after document element": "a file has one <gateway-config>, and nothing follows it",
    "unbound prefix": 'declare the prefix on the root element, for example xmlns:kwic="urn:kwic:gateway:1"',
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Element:
    """One element of the file, its text not substituted yet."""

    namespace: str
    name: str
    attributes: Mapping[tuple[str, str], str]
    """By namespace (empty for none) and name."""
    text: str
    """Its own text, without that of its children."""
    place: Place
    value_place: Place
    """Where the text begins, blanks left out; the place of the element when it has none."""
    children: tuple[Element, ...]

    def all(self, name: str) -> Iterator[Element]:
        """:returns: the children of that name, in the order of the file."""
        return (child for child in self.children if child.name == name)

    def first(self, name: str) -> Element | None:
        """:returns: the first child of that name."""
        return next(self.all(name), None)


def parse_document(data: bytes, file: str) -> Element:
    """Reads a whole file.

    :param file: its name, for the messages.
    :returns: the root element.
    :raises ConfigError: it is not well-formed XML, or bigger than a configuration can be.
    """
    if len(data) > LARGEST_FILE:
        raise ConfigError([Problem(place=None, message=f"{file} is larger than {LARGEST_FILE} bytes")])
    parser = _PlainTextParser(forbid_dtd=True)
    parser.setFeature(feature_namespaces, True)
    listener = _Listener(file, parser)
    parser.setContentHandler(listener)
    try:
        parser.feed(data.removeprefix(BOM_UTF8))
        parser.close()
    except SAXParseException as error:
        listener.refuse(
            *_syntax_message(error.getMessage(), listener, data),
            error.getLineNumber(),
            error.getColumnNumber(),
        )
    except DTDForbidden:
        listener.refuse("document type declarations are not allowed", "remove <!DOCTYPE …>")
    except (DefusedXmlException, LookupError, ValueError) as error:
        # Encodings that Python does not know, or that are not for text, end here.
        listener.refuse(f"the file cannot be read as XML: {error}", "save it as UTF-8")
    return _placed(listener.root, file, listener.root.name)


class _PlainTextParser(DefusedExpatParser):  # type: ignore[misc]  # no types are published for it
    """Reports text where it begins; by default it is collected and reported where the next tag begins."""

    def reset(self) -> None:
        super().reset()
        self._parser.buffer_text = False


@dataclass(kw_only=True, slots=True)
class _Node:
    """An element while its text is being read."""

    namespace: str
    name: str
    attributes: dict[tuple[str, str], str]
    position: tuple[int, int]
    text_position: tuple[int, int] | None = None
    texts: list[str] = field(default_factory=list)
    children: list[_Node] = field(default_factory=list)


class _Listener(ContentHandler):
    """Builds the nodes."""

    def __init__(self, file: str, locator: Locator) -> None:
        super().__init__()
        self._file = file
        self._locator = locator
        self._top = _Node(namespace="", name="", attributes={}, position=(1, 1))
        self._open = [self._top]
        self._count = 0

    @property
    def root(self) -> _Node:
        """The root element; there is one once the whole text was read."""
        return self._top.children[0]

    @property
    def innermost(self) -> _Node | None:
        """The element that was opened last and not closed."""
        return self._open[-1] if len(self._open) > 1 else None

    def refuse(self, message: str, hint: str, line: int | None = None, column: int | None = None) -> NoReturn:
        """:raises ConfigError: with this one problem, here or at a line (from 1) and column (from 0)."""
        here_line, here_column = self._position()
        path = "/".join(node.name for node in self._open[1:])
        place = Place(
            file=self._file,
            line=line or here_line,
            column=here_column if column is None else column + 1,
            path=path,
        )
        raise ConfigError([Problem(place=place, message=message, hint=hint)])

    def startElementNS(
        self, name: tuple[str | None, str], _qname: str | None, attrs: AttributesNSImpl
    ) -> None:
        namespace, local = name
        self._count += 1
        if len(self._open) > DEEPEST_ELEMENT:
            self.refuse(f"elements are nested more than {DEEPEST_ELEMENT} deep", "a configuration needs 6")
        if self._count > MOST_ELEMENTS:
            self.refuse(f"the file has more than {MOST_ELEMENTS} elements", "split it over several instances")
        node = _Node(
            namespace=namespace or "",
            name=local,
            attributes={(key[0] or "", key[1]): value for key, value in attrs.items()},
            position=self._position(),
        )
        self._open[-1].children.append(node)
        self._open.append(node)

    def endElementNS(self, *_name: object) -> None:
        self._open.pop()

    def characters(self, content: str) -> None:
        node = self._open[-1]
        node.texts.append(content)
        if node.text_position is None and not content.isspace():
            line, column = self._position()
            node.text_position = line, column + len(content) - len(content.lstrip())

    def _position(self) -> tuple[int, int]:
        return self._locator.getLineNumber() or 1, (self._locator.getColumnNumber() or 0) + 1


def _syntax_message(message: str, listener: _Listener, data: bytes) -> tuple[str, str]:
    """:returns: expat's message, and what helps against it."""
    innermost = listener.innermost
    if not data.strip():
        return "the file is empty", "it needs a <gateway-config>"
    if message == "not well-formed (invalid token)" and not _is_utf8(data):
        return (
            "the file is not text in UTF-8",
            "save it as UTF-8, or name its encoding in <?xml … encoding=…?>",
        )
    if innermost is not None and message in {"mismatched tag", "no element found", "unclosed token"}:
        return message, f"<{innermost.name}> of line {innermost.position[0]} is not closed"
    return message, _HINTS.get(message, "the file must be XML, with <gateway-config> around everything")


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def _placed(node: _Node, file: str, path: str) -> Element:
    """:returns: a node and those below it, each with its path; same names are numbered."""
    total = Counter(child.name for child in node.children)
    seen: Counter[str] = Counter()
    children = []
    for child in node.children:
        seen[child.name] += 1
        step = f"{child.name}[{seen[child.name]}]" if total[child.name] > 1 else child.name
        children.append(_placed(child, file, f"{path}/{step}"))
    line, column = node.text_position or node.position
    return Element(
        namespace=node.namespace,
        name=node.name,
        attributes=node.attributes,
        text="".join(node.texts),
        place=Place(file=file, line=node.position[0], column=node.position[1], path=path),
        value_place=Place(file=file, line=line, column=column, path=path),
        children=tuple(children),
    )
