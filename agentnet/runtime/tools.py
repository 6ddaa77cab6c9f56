"""Python functions as tools: their schema for the prompt, and safe calling with what a model wrote."""

from __future__ import annotations

import inspect
import json
import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from agentnet.errors import PoolError
from agentnet.runtime.clients.scrub import told
from agentnet.runtime.foreign import call_foreign

MAX_OBSERVATION = 8000
"""Characters of a tool's result that the model is shown."""
_JSON_TYPES: Mapping[Any, str] = {
    str: "string",
    int: "integer",
    float: "number",
    bool: "boolean",
    list: "array",
    tuple: "array",
    dict: "object",
}


@dataclass(frozen=True, slots=True)
class Tool:
    """A function the model may call.

    >>> def add(a: int, b: int = 1) -> int:
    ...     "Adds two numbers."
    ...     return a + b
    >>> tool = Tool.of(add)
    >>> tool.name, tool.schema["required"], tool.signature
    ('add', ['a'], 'add(a: integer, b: integer = 1) - Adds two numbers.')
    """

    name: str
    description: str
    schema: Mapping[str, Any]
    """JSON schema of the arguments."""
    function: Callable[..., Any]

    @classmethod
    def of(cls, function: Callable[..., Any]) -> Tool:
        """Makes a tool from a function; name, doc and type hints are what the model sees.

        Raises:
            PoolError: it is not callable, or takes ``*args``, ``**kwargs`` or positional-only arguments.
        """
        if not callable(function):
            raise PoolError(f"a tool must be a Python function; got {function!r}.")
        name = getattr(function, "__name__", type(function).__name__)
        try:
            hints = get_type_hints(function)
        except (NameError, TypeError):
            hints = {}
        properties: dict[str, Any] = {}
        required = []
        for item in inspect.signature(function).parameters.values():
            if item.kind not in (item.POSITIONAL_OR_KEYWORD, item.KEYWORD_ONLY):
                raise PoolError(f"tool {name!r}: the parameter {item.name!r} must have a name of its own.")
            properties[item.name] = _schema(hints.get(item.name))
            if item.default is item.empty:
                required.append(item.name)
            else:
                properties[item.name] = {**properties[item.name], "default": _jsonable(item.default)}
        schema = {"type": "object", "properties": properties, "required": required}
        doc = (inspect.getdoc(function) or "").split("\n\n", 1)[0].replace("\n", " ")
        return cls(name, doc, schema, function)

    @property
    def signature(self) -> str:
        """One line for a prompt: name, arguments and what it does."""
        parts = []
        for name, kind in self.schema["properties"].items():
            default = f" = {json.dumps(kind['default'])}" if "default" in kind else ""
            parts.append(f"{name}: {kind.get('type', 'any')}{default}")
        return f"{self.name}({', '.join(parts)}) - {self.description}".removesuffix(" - ")

    async def call(self, arguments: object) -> str:
        """Calls the function with what a model wrote and returns what the model is shown.

        A wrong argument or a failing tool becomes text that says so: the model may try again. Functions
        that are not async run in a thread.
        """
        names = list(self.schema["properties"])
        if not isinstance(arguments, Mapping):
            alone = list(self.schema["required"]) or names
            if len(alone) != 1:
                return f"Error: {self.name} takes an object with {names}."
            arguments = {alone[0]: arguments}
        try:
            inspect.signature(self.function).bind(**arguments)
        except TypeError as error:
            return f"Error: {self.name}: {error}; it takes {self.signature}"
        try:
            result = await call_foreign(self.function, **arguments)
        except Exception as error:
            from langgraph.errors import GraphBubbleUp

            if isinstance(error, GraphBubbleUp):
                raise
            return f"Error: {self.name} failed: {told(error)}"[:MAX_OBSERVATION]
        text = result if isinstance(result, str) else json.dumps(_jsonable(result), ensure_ascii=False)
        return text[:MAX_OBSERVATION]


def make_tools(functions: Sequence[Callable[..., Any]]) -> dict[str, Tool]:
    """Returns tools by name.

    Raises:
        PoolError: two tools share a name, or one cannot be used.
    """
    tools = [Tool.of(function) for function in functions]
    found = {tool.name: tool for tool in tools}
    if len(found) < len(tools):
        raise PoolError(f"tool names must be unique; got {sorted(tool.name for tool in tools)}.")
    return found


def _schema(hint: Any) -> dict[str, Any]:
    origin, args = get_origin(hint), get_args(hint)
    if origin is Literal:
        return {"type": _JSON_TYPES.get(type(args[0]), "string"), "enum": list(args)}
    if origin in (Union, types.UnionType):
        kinds = [arg for arg in args if arg is not type(None)]
        return _schema(kinds[0]) if len(kinds) == 1 else {}
    if origin in (list, tuple) and args:
        return {"type": "array", "items": _schema(args[0])}
    kind = _JSON_TYPES.get(origin or hint)
    return {"type": kind} if kind else {}


def _jsonable(value: Any) -> Any:
    try:
        json.dumps(value)
    except (TypeError, ValueError):
        return str(value)
    return value
