"""A YAML file as plain data that remembers where every key and value stands."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, StreamMark, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from ruamel.yaml.reader import ReaderError

from bot.settings.problems import Key, Place, Problem, SettingsError, dotted

MAX_BYTES = 4 * 1024 * 1024
MAX_VALUES = 200_000  # far more than any fleet has; an alias can multiply a few lines into millions of values
_MERGE = "tag:yaml.org,2002:merge"


@dataclass(slots=True, kw_only=True)
class Document:
    """One file: its ``data`` and the places of its keys and values."""

    file: Path
    data: Any = None
    keys: dict[Key, Place] = field(default_factory=dict)
    values: dict[Key, Place] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def problem(self, key: Key, what: str, instead: str, *, at_key: bool = False) -> Problem:
        """A problem with the value at *key* (or with the key itself); what is missing stands at what should have it."""
        where = key
        place = self.keys.get(key) if at_key else None
        while place is None:
            place = self.values.get(where) or self.keys.get(where)
            if not where:
                break
            where = where[:-1]
        line, column = (place.line, place.column) if place else (1, 1)
        return Problem(file=str(self.file), line=line, column=column, where=dotted(key), what=what, instead=instead)


def read_document(file: Path) -> Document:
    """Read *file* as one YAML mapping. Raises SettingsError where there is nothing to go on with."""
    document = Document(file=file)
    text = _text(document)
    root = _compose(document, text)
    if root is None:
        raise _fatal(document, None, "the file is empty", "the keys that the example in config/ shows")
    try:
        document.data = _Walk(document).value(root, ())
    except RecursionError:
        raise _fatal(
            document, None, "the file is nested too deeply", "the structure of the example in config/"
        ) from None
    if not isinstance(document.data, dict):
        raise _fatal(
            document, root.start_mark, "the file is not a mapping", "`key: value` lines, as the example in config/"
        )
    return document


def _fatal(document: Document, mark: StreamMark | None, what: str, instead: str) -> SettingsError:
    place = _place(mark) if mark is not None else Place(line=1, column=1)
    problem = Problem(
        file=str(document.file), line=place.line, column=place.column, where="", what=what, instead=instead
    )
    return SettingsError([*document.problems, problem])


def _unreadable(file: Path, what: str, instead: str) -> SettingsError:
    return SettingsError([Problem(file=str(file), line=None, column=None, where="", what=what, instead=instead)])


def _text(document: Document) -> str:
    file = document.file
    try:
        with file.open("rb") as stream:
            raw = stream.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise _unreadable(
            file, "the file does not exist", "the path of an existing file; config/ has an example"
        ) from None
    except OSError as error:
        why = error.strerror or type(error).__name__
        raise _unreadable(file, f"the file cannot be read: {why}", "a regular file that this user may read") from None
    if len(raw) > MAX_BYTES:
        raise _unreadable(file, f"the file is larger than {MAX_BYTES // 1024 // 1024} MiB", "a settings file")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = raw[: error.start]
        place = Place(line=before.count(b"\n") + 1, column=error.start - (before.rfind(b"\n") + 1) + 1)
        problem = Problem(
            file=str(file),
            line=place.line,
            column=place.column,
            where="",
            what=f"not UTF-8: byte 0x{raw[error.start]:02x}",
            instead="the file saved as UTF-8",
        )
        raise SettingsError([problem]) from None


def _compose(document: Document, text: str) -> Node | None:
    yaml = YAML(typ="safe", pure=True)
    yaml.composer.warn_double_anchors = False
    try:
        root: Node | None = yaml.compose(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        if mark is None:
            raise _fatal(document, None, f"not YAML: {error.problem or error.context}", "valid YAML") from None
        raise _fatal(document, mark, *_explain_syntax(error, text, mark)) from None
    except ReaderError as error:
        before = text[: error.position]
        line = before.count("\n") + 1
        column = error.position - (before.rfind("\n") + 1) + 1
        what = f"character U+{ord(text[error.position]):04X} is not allowed in YAML"
        problem = Problem(
            file=str(document.file), line=line, column=column, where="", what=what, instead="printable text only"
        )
        raise SettingsError([problem]) from None
    except RecursionError:
        raise _fatal(
            document, None, "the file is nested too deeply", "the structure of the example in config/"
        ) from None
    except (YAMLError, ValueError, AttributeError, AssertionError, IndexError, TypeError, KeyError) as error:
        # ruamel's scanner trips over some malformed input (an unfinished directive or escape) without a mark.
        raise _fatal(document, None, f"not YAML ({type(error).__name__}: {error})", "valid YAML") from None
    return root


def _explain_syntax(error: MarkedYAMLError, text: str, mark: StreamMark) -> tuple[str, str]:
    lines = text.splitlines()
    line = lines[mark.line] if mark.line < len(lines) else ""
    indent = line[: len(line) - len(line.lstrip())]
    if "\t" in indent or (error.problem and "\\t" in error.problem):
        return "a tab is used for indentation", "spaces: YAML forbids tabs there"
    what = " ".join(str(part) for part in (error.context, error.problem) if part)
    if error.problem and "single document" in str(error.context or "") + error.problem:
        return "there is more than one document in the file", "one document, without a line `---` in the middle"
    return f"not YAML: {what}", "valid YAML; often a missing colon, quote or bracket on this line or the one before"


def _place(mark: StreamMark) -> Place:
    return Place(line=mark.line + 1, column=mark.column + 1)


class _Walk:
    """Turns nodes into plain data. Duplicate keys, merge keys and loops become problems; the first value counts."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self._open: set[int] = set()
        self._count = 0

    def value(self, node: Node, key: Key) -> Any:
        self._count += 1
        if self._count > MAX_VALUES:
            raise _fatal(
                self.document, node.start_mark, "aliases (*name) multiply into too many values", "plain values"
            )
        # A value that is not there has the place of whatever comes next: its key's is meant.
        if node.start_mark != node.end_mark or key not in self.document.keys:
            self.document.values.setdefault(key, _place(node.start_mark))
        if isinstance(node, ScalarNode):
            return _scalar(node)
        if id(node) in self._open:
            self._report(key, node.start_mark, "an alias (*name) contains itself", "the value written out")
            return None
        self._open.add(id(node))
        try:
            if isinstance(node, SequenceNode):
                return [self.value(item, (*key, index)) for index, item in enumerate(node.value)]
            assert isinstance(node, MappingNode), "YAML has scalars, sequences and mappings only"
            return self._mapping(node, key)
        finally:
            self._open.discard(id(node))

    def _mapping(self, node: MappingNode, key: Key) -> dict[str, Any]:
        data: dict[str, Any] = {}
        for name_node, value_node in node.value:
            if not isinstance(name_node, ScalarNode):
                self._report(key, name_node.start_mark, "a key is a list or a mapping", "a plain word as the key")
                continue
            name = name_node.value
            inner = (*key, name)
            if name_node.tag == _MERGE or name == "<<":
                self._report(inner, name_node.start_mark, "merge keys (<<) are not supported", "the keys written out")
                continue
            if name in data:
                first = self.document.keys[inner].line
                self._report(
                    inner, name_node.start_mark, f"the key is there twice (first in line {first})", "one of the two"
                )
                continue
            self.document.keys[inner] = _place(name_node.start_mark)
            data[name] = self.value(value_node, inner)
        return data

    def _report(self, key: Key, mark: StreamMark, what: str, instead: str) -> None:
        place = _place(mark)
        self.document.problems.append(
            Problem(
                file=str(self.document.file),
                line=place.line,
                column=place.column,
                where=dotted(key),
                what=what,
                instead=instead,
            )
        )


def _scalar(node: ScalarNode) -> Any:
    """The value of a plain scalar by YAML 1.2's core schema; anything else stays the text that was written."""
    text: str = node.value
    kind = str(node.tag).rpartition(":")[2]
    if kind == "null":
        return None
    if kind == "bool":
        return text.lower() == "true" if text.lower() in ("true", "false") else text
    try:
        if kind == "int":
            return int(text, 10) if text.lstrip("+-").isdigit() else int(text, 0)
        if kind == "float":
            return float(text)
    except ValueError:
        return text
    return text
