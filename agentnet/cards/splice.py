"""Cuts list entries out of YAML text and puts others in, touching no other character.

Works on the text between the positions that PyYAML's composer reports. The list is the file's top, or stands
under its key ``agents``; its items are mappings with a ``name``, in block or flow style.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import yaml
from yaml.nodes import CollectionNode, MappingNode, Node, ScalarNode, SequenceNode

from agentnet.errors import AgentnetError


class CannotEdit(AgentnetError):
    """The layout of the text does not allow the edit."""


def append(text: str, items: Sequence[dict[str, Any]]) -> str:
    r"""Returns the text with items at the end of the list.

    >>> append("agents:\n- name: a  # first\n", [{"name": "b"}])
    'agents:\n- name: a  # first\n- name: b\n'
    """
    listed = _list(text)
    if listed.flow_style:
        return _append_flow(text, listed, items)
    last = listed.value[-1]
    end = _block_end(text, last, listed)
    block = _block(items, _indent(text, last), _newline(text))
    if end and text[end - 1] != "\n":
        block = _newline(text) + block
    return text[:end] + block + text[end:]


def remove(text: str, name: str) -> str:
    r"""Returns the text without an item and the comment lines right above it.

    >>> remove("- name: a\n# about b\n- name: b\n# about c\n- name: c\n", "b")
    '- name: a\n# about c\n- name: c\n'
    """
    listed = _list(text)
    at, item = _find(listed, name)
    if listed.flow_style:
        return _remove_flow(text, listed, at)
    start = _line_start(text, item.start_mark.index)
    indent = _indent(text, item)
    while (above := _line_start(text, start - 1)) < start:
        line = text[above:start]
        if not line.lstrip(" ").startswith("#") or len(line) - len(line.lstrip(" ")) != indent:
            break
        start = above
    return text[:start] + text[_block_end(text, item, listed) :]


def replace(text: str, name: str, new: dict[str, Any]) -> str:
    """Returns the text with another item in the place of one; comments above it stay."""
    listed = _list(text)
    _, item = _find(listed, name)
    start = item.start_mark.index
    if listed.flow_style or item.flow_style:
        return text[:start] + _flow(new) + text[item.end_mark.index :]
    line = _line_start(text, start)
    block = _block([new], _indent(text, item), _newline(text))
    return text[:line] + block + text[_block_end(text, item, listed) :]


def set_field(text: str, name: str, key: str, value: Any) -> str:
    r"""Returns the text with one field of an item set, in its place or at the item's end.

    >>> set_field("- name: a\n  description: old  # why\n", "a", "description", "new: x")
    "- name: a\n  description: 'new: x'  # why\n"
    """
    listed = _list(text)
    _, item = _find(listed, name)
    new = _flow(value)
    for known, old in item.value:
        if known.value != key:
            continue
        start = old.start_mark.index
        if start < known.end_mark.index:
            raise CannotEdit(f"{key} of {name!r} is an alias")
        end = _leaf_end(text, old)
        if isinstance(old, CollectionNode) and not old.flow_style:
            # A list or mapping on lines of its own: the value moves up behind its key.
            start, new = known.end_mark.index, f": {new}"
        elif text[start - 1] == ":":
            new = f" {new}"  # the field was left empty
        return text[:start] + new + text[end:]
    if item.flow_style:
        end = _leaf_end(text, item.value[-1][1])
        return text[:end] + f", {key}: {new}" + text[end:]
    end = _line_end(text, _leaf_end(text, item))
    line = f"{' ' * item.start_mark.column}{key}: {new}{_newline(text)}"
    if text[end - 1 : end] != "\n":
        line = _newline(text) + line
    return text[:end] + line + text[end:]


# -- the parsed text ---------------------------------------------------------------------------------
def _list(text: str) -> SequenceNode:
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    if isinstance(root, MappingNode):
        root = next((value for key, value in root.value if key.value == "agents"), None)
    if not isinstance(root, SequenceNode):
        raise CannotEdit("it has no list of agents")
    last = root.start_mark.index - 1
    for item in root.value:
        if not isinstance(item, MappingNode) or item.start_mark.index <= last:
            raise CannotEdit("an agent is an alias of another place")
        last = item.start_mark.index
    return root


def _find(listed: SequenceNode, name: str) -> tuple[int, MappingNode]:
    for at, item in enumerate(listed.value):
        for key, value in item.value:
            if key.value == "name" and value.value == name:
                return at, item
    raise CannotEdit(f"no entry is called {name!r}")


def _leaf_end(text: str, node: Node) -> int:
    """Where a node's last own character ends; a block's mark lies behind the comments that follow it.

    What aliases point to lies elsewhere and does not count.
    """
    if isinstance(node, ScalarNode):
        end: int = node.end_mark.index
        # A block scalar's mark lies behind the blank lines that follow it.
        return len(text[:end].rstrip()) if node.style in ("|", ">") else end
    assert isinstance(node, CollectionNode)
    if node.flow_style:
        return int(node.end_mark.index)
    parts = [part for pair in node.value for part in pair] if isinstance(node, MappingNode) else node.value
    inside = [p for p in parts if node.start_mark.index <= p.start_mark.index < node.end_mark.index]
    return max((_leaf_end(text, part) for part in inside), default=int(node.start_mark.index))


def _block_end(text: str, item: Node, listed: SequenceNode) -> int:
    """Start of the first line that does not belong to an item: deeper comments after it do."""
    end = _line_end(text, _leaf_end(text, item))
    indent = _indent(text, item)
    here = end
    while here < len(text):
        after = _line_end(text, here)
        line = text[here:after]
        if line.strip() and (not line.lstrip(" ").startswith("#") or _width(line) <= indent):
            break
        here = after
        if line.strip():
            end = here
    return end


def _indent(text: str, item: Node) -> int:
    """Column of the dash before an item."""
    start = _line_start(text, item.start_mark.index)
    dash = text.find("-", start, item.start_mark.index)
    if dash < 0 or text[start:dash].strip():
        raise CannotEdit("a list entry does not begin on the line of its dash")
    return dash - start


def _width(line: str) -> int:
    return len(line) - len(line.lstrip(" "))


def _line_start(text: str, index: int) -> int:
    return text.rfind("\n", 0, max(index, 0)) + 1


def _line_end(text: str, index: int) -> int:
    at = text.find("\n", index)
    return len(text) if at < 0 else at + 1


def _newline(text: str) -> str:
    return "\r\n" if "\r\n" in text else "\n"


# -- new text ----------------------------------------------------------------------------------------
def _block(items: Sequence[dict[str, Any]], indent: int, newline: str) -> str:
    dumped = yaml.safe_dump(list(items), sort_keys=False, allow_unicode=True, width=110)
    return "".join(f"{' ' * indent}{line}{newline}" for line in dumped.rstrip("\n").split("\n"))


def _flow(value: Any) -> str:
    """A value on one line, as it may stand in a flow collection as well."""
    dumped: str = yaml.safe_dump(
        [value], default_flow_style=True, sort_keys=False, allow_unicode=True, width=float("inf")
    )
    return dumped.removesuffix("\n")[1:-1]


def _append_flow(text: str, listed: SequenceNode, items: Sequence[dict[str, Any]]) -> str:
    if not listed.value:
        # An empty list becomes one with an entry a line, as people write them.
        start, end = listed.start_mark.index, listed.end_mark.index
        top = listed.start_mark.column == 0
        block = _block(items, 0 if top else 2, _newline(text)).rstrip("\r\n")
        return text[:start].rstrip(" ") + ("" if top else _newline(text)) + block + text[end:]
    end = listed.value[-1].end_mark.index
    return text[:end] + "".join(f", {_flow(item)}" for item in items) + text[end:]


def _remove_flow(text: str, listed: SequenceNode, at: int) -> str:
    items = listed.value
    if at + 1 < len(items):
        return text[: items[at].start_mark.index] + text[items[at + 1].start_mark.index :]
    start = items[at - 1].end_mark.index if at else items[at].start_mark.index
    return text[:start] + text[items[at].end_mark.index :]
