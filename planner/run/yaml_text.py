"""YAML: plain data only, no repeated keys, and nothing that expands without bound."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

import yaml

from planner.run.wording import shown

MAX_NODES = 10_000
"""Values in one document, each use of an alias counted in full."""

MAX_DEPTH = 20
"""Lists and mappings inside each other."""

_STRING = "tag:yaml.org,2002:str"
_MAPPING = "tag:yaml.org,2002:map"
_SEQUENCE = "tag:yaml.org,2002:seq"
_MERGE = "tag:yaml.org,2002:merge"
_DATE = "tag:yaml.org,2002:timestamp"
_SCALARS = frozenset(f"tag:yaml.org,2002:{kind}" for kind in ("null", "bool", "int", "float"))


class YamlProblem(ValueError):
    """What is wrong with a document, and on which line (from 1)."""

    def __init__(self, problem: str, line: int | None = None) -> None:
        super().__init__(problem)
        self.line = line


class _BoundedLoader(yaml.SafeLoader):
    """Stops composing as soon as a document is too large or too deep, before the stack runs out."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.nodes = 0
        self.depth = 0

    def compose_node(self, parent: yaml.Node | None, index: object) -> yaml.Node | None:
        self.nodes += 1
        self.depth += 1
        if self.nodes > MAX_NODES or self.depth > MAX_DEPTH:
            raise _too_large(self.line + 1)
        node = super().compose_node(parent, index)  # pyright: ignore[reportArgumentType]
        self.depth -= 1
        return node


def loads(text: str, *, lenient: bool = False) -> object:
    """The data of one YAML document: dicts, lists, text, numbers, true, false and None.

    What aliases expand to is bounded by `MAX_NODES`. Tags, dates, merge keys (`<<`) and
    anything else beyond JSON's types are refused; `lenient`, as others' files need it, merges mappings, and takes
    dates and names that are no text as they are written. Raises `YamlProblem`, and nothing else.
    """
    try:
        loader = _BoundedLoader(text)
        try:
            node = loader.get_single_node()
            return None if node is None else _Reader(loader, lenient).value(node, 0)
        finally:
            loader.dispose()  # pyright: ignore[reportUnknownMemberType]
    except YamlProblem:
        raise
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        problem = ", ".join(filter(None, (error.context, error.problem)))
        raise YamlProblem(problem, mark.line + 1 if mark else None) from None
    except (yaml.YAMLError, ValueError, OverflowError) as error:
        # PyYAML lets the last two out for escapes beyond Unicode ("\Uffffffff") and long numbers.
        raise YamlProblem(str(error)) from None


def dumps(data: dict[str, object]) -> str:
    """A mapping as YAML, in its own order, that `loads` reads back unchanged."""
    return yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=10_000, default_flow_style=False)


class _Reader:
    """Turns YAML nodes into data. Aliases are shared nodes: what they expand to is counted here."""

    def __init__(self, loader: _BoundedLoader, lenient: bool) -> None:
        self.loader = loader
        self.lenient = lenient
        self.nodes = 0

    def value(self, node: yaml.Node, depth: int) -> object:
        self.nodes += 1
        line = _line(node)
        if self.nodes > MAX_NODES or depth > MAX_DEPTH:  # a cycle of aliases ends here too
            raise _too_large(line)
        if isinstance(node, yaml.MappingNode) and node.tag == _MAPPING:
            return self._mapping(node, depth)
        if isinstance(node, yaml.SequenceNode) and node.tag == _SEQUENCE:
            return [self.value(item, depth + 1) for item in node.value]
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, line)
        raise _tagged(node)

    def _mapping(self, node: yaml.MappingNode, depth: int) -> dict[str, object]:
        merged: dict[str, object] = {}
        if self.lenient:
            for key_node, value_node in node.value:
                if key_node.tag == _MERGE:
                    merged = self._merged(value_node, depth) | merged
        return merged | dict(self._pairs(node, depth))

    def _merged(self, node: yaml.Node, depth: int) -> dict[str, object]:
        """What `<<` brings: of several mappings, the first goes before the others."""
        nodes = node.value if isinstance(node, yaml.SequenceNode) else [node]
        result: dict[str, object] = {}
        for item in nodes:
            value = self.value(item, depth + 1)
            if not isinstance(value, dict):
                raise YamlProblem("<< merges mappings, and nothing else", _line(node))
            result = cast("dict[str, object]", value) | result
        return result

    def _pairs(self, node: yaml.MappingNode, depth: int) -> Iterator[tuple[str, object]]:
        seen: set[str] = set()
        for key_node, value_node in node.value:
            if self.lenient and key_node.tag == _MERGE:
                continue
            named = isinstance(key_node, yaml.ScalarNode) and (self.lenient or key_node.tag == _STRING)
            if not named:
                raise YamlProblem("a field name must be text (put it in quotes)", _line(key_node))
            key: str = key_node.value
            if key in seen:
                raise YamlProblem(f"{shown(key)} is given twice", _line(key_node))
            seen.add(key)
            yield key, self.value(value_node, depth + 1)

    def _scalar(self, node: yaml.ScalarNode, line: int) -> object:
        text: str = node.value
        if node.tag == _STRING or (self.lenient and node.tag == _DATE):
            return text
        # A tag that the text alone does not imply was written out (`!!int x`), and may not fit it.
        implied = cast("str", self.loader.resolve(yaml.ScalarNode, text, (True, False)))  # pyright: ignore[reportUnknownMemberType]
        if node.tag in _SCALARS and implied == node.tag:
            try:
                return cast("object", self.loader.construct_object(node))  # pyright: ignore[reportUnknownMemberType]
            except (ValueError, OverflowError):
                raise YamlProblem(f"{shown(text)} is not a number that can be read", line) from None
        if node.tag not in _SCALARS and implied != node.tag:
            raise _tagged(node)
        raise YamlProblem(f"{shown(text)} is neither text, a number, true, false nor null; put it in quotes", line)


def _line(node: yaml.Node) -> int:
    return node.start_mark.line + 1


def _tagged(node: yaml.Node) -> YamlProblem:
    return YamlProblem(f"the tag {shown(node.tag)} is not allowed; remove it", _line(node))


def _too_large(line: int) -> YamlProblem:
    return YamlProblem(f"it expands to more than {MAX_NODES:,} values or nests deeper than {MAX_DEPTH} levels", line)
