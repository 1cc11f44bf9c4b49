"""JSON schemas of a request's tools and of the answer that it wants: bounded, and readable.

A model server compiles them, and has been crashed by them (vLLM's CVE-2025-48944). We look at
them on the event loop, where everybody waits: so what one request may have of them in all is
bounded, and so is what Python's `re` takes long to read, which is classes with wide ranges
(2 ms each) and ranges that ignore case (more, and JSON Schema's patterns have no such flags).
"""

import re
from typing import Any

from completion.engine.api import ApiError

MAX_TOOLS, MAX_DEPTH, MAX_PATTERN = 128, 32, 512
# In all of a request: values, characters of patterns, and classes in them.
MAX_VALUES, MAX_PATTERNS, MAX_CLASSES = 20_000, 16_384, 100
_TYPES = {"string", "number", "integer", "boolean", "object", "array", "null"}
_ESCAPED = re.compile(r"\\.", re.DOTALL)
# Others hold schemas in places of their own.
_FORMS = ("text", "json_object", "json_schema")
# Whose keys are names, or patterns of them.
_NAMES = {"properties", "patternProperties"}
# (?i), (?i:…), and what Python alone knows, such as (?P<name>…).
_FLAGS = re.compile(r"\(\?[A-Za-z-]")


def check(body: dict[str, Any]) -> None:
    """Those of a chat's body. Raises ApiError (400) naming the field that is wrong."""
    seen = _Seen()
    tools = body.get("tools", [])
    if not isinstance(tools, list) or len(tools) > MAX_TOOLS:
        raise wrong("tools", f"must be a list of at most {MAX_TOOLS}")
    for at, tool in enumerate(tools):
        function = tool.get("function") if isinstance(tool, dict) else None
        if not isinstance(function, dict) or not isinstance(function.get("name"), str):
            raise wrong(f"tools.{at}", "must be a function with a name")
        seen.schema(function.get("parameters", {}), f"tools.{at}.function.parameters")
    form = body.get("response_format", {})
    if not isinstance(form, dict):
        raise wrong("response_format", "must be an object")
    if form and form.get("type") not in _FORMS:
        raise wrong("response_format", f"must be of type {', '.join(_FORMS)}")
    seen.schema(form.get("json_schema", {}), "response_format.json_schema")


def wrong(field: str, reason: str) -> ApiError:
    return ApiError(400, f"{field}: {reason}.", param=field, code="value_error")


class _Seen:
    """What a request had of schemas so far."""

    def __init__(self) -> None:
        self._values = self._characters = self._classes = 0

    def schema(self, value: Any, field: str, depth: int = 0, named: bool = False) -> None:
        """`named`: the keys of `value` are names of the user's, not words of JSON Schema."""
        if depth > MAX_DEPTH:
            raise wrong(field, f"is nested more than {MAX_DEPTH} deep")
        self._values += 1
        if self._values > MAX_VALUES:
            raise wrong(field, f"has, with all others, more than {MAX_VALUES} values")
        if isinstance(value, list):
            for item in value:
                self.schema(item, field, depth + 1)
        if not isinstance(value, dict):
            return
        if not named:
            kinds = value.get("type", [])
            kinds = kinds if isinstance(kinds, list) else [kinds]
            if not all(isinstance(kind, str) and kind in _TYPES for kind in kinds):
                raise wrong(field, "has a type that JSON Schema does not know")
            self._pattern(value.get("pattern", ""), field)
        for key, item in value.items():
            if not named and key == "patternProperties" and isinstance(item, dict):
                for pattern in item:
                    self._pattern(pattern, field)
            self.schema(item, field, depth + 1, named=not named and key in _NAMES)

    def _pattern(self, pattern: Any, field: str) -> None:
        unreadable = wrong(field, "has a pattern that cannot be read")
        if not isinstance(pattern, str) or len(pattern) > MAX_PATTERN:
            raise unreadable
        bare = _ESCAPED.sub("", pattern)
        self._characters += len(pattern)
        self._classes += bare.count("[")
        if self._characters > MAX_PATTERNS or self._classes > MAX_CLASSES:
            raise wrong(field, "has, with all others, too much of patterns")
        if _FLAGS.search(bare):
            raise unreadable
        try:
            re.compile(pattern)
        except (ValueError, re.error, RecursionError, OverflowError):
            raise unreadable from None
