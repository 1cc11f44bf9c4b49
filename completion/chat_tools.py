"""Tools for a model that has none of its own: told in the prompt, called in fenced JSON.

The model writes a block ```tool with {"name": …, "arguments": {…}} in it. Blocks ```json and
<tool_call> tags that name one of the tools are read too, since models were taught those. Results
go back as the user's words, as servers without tools know no other role for them.
"""

import json
import re
from collections.abc import Collection, Iterable, Sequence

from completion.messages import Message, Tool, ToolCall

_HOW = """You can use tools. To use one, write a block like this and stop:

```tool
{"name": "NAME", "arguments": {"KEY": "VALUE"}}
```

The result comes with the next message. The tools, each with the JSON schema of its arguments:
"""
_OPENING = re.compile(r"^[ \t]*```[ \t]*(tool_call|tool|json|)[ \t]*\n|<tool_call>", re.MULTILINE)
_CLOSING = re.compile(r"\s*?^[ \t]*```[ \t]*$\n?|\s*</tool_call>\n?", re.MULTILINE)
_NAME = re.compile(r'"name"\s*:\s*"([\w.-]{1,64})"')
# A line end inside of a string is what small models write most often that JSON forbids.
_DECODER = json.JSONDecoder(strict=False)


def told(messages: Sequence[Message], tools: Sequence[Tool]) -> list[Message]:
    """The conversation for a server without tools: roles alternate, the first may be system's."""
    how = _HOW + "\n".join(map(_described, tools)) if tools else ""
    result = [Message("system", how)] if how else []
    names: dict[str, str] = {}
    for message in messages:
        names |= {call.id: call.name for call in message.tool_calls}
        plain = _plain(message, names)
        if result and result[-1].role == plain.role:
            joined = "\n\n".join(filter(None, (result.pop().content, plain.content)))
            plain = Message(plain.role, joined)
        result.append(plain)
    return result


def read(text: str, names: Collection[str], said: int = 0) -> tuple[str, tuple[ToolCall, ...]]:
    """The text without its calls, and the calls, numbered on from the `said` ones before.

    A block that is meant as a call and is no JSON gives one whose arguments are its text.
    """
    rest, calls, start = [], [], 0
    while opening := _OPENING.search(text, start):
        found = _call(text, opening, names)
        if found is None:
            rest.append(text[start : opening.end()])
            start = opening.end()
            continue
        name, arguments, end = found
        calls.append(ToolCall(f"call_{said + len(calls) + 1}", name, arguments))
        rest.append(text[start : opening.start()])
        start = end
    return "".join([*rest, text[start:]]).strip(), tuple(calls)


def calls_in(messages: Iterable[Message]) -> int:
    return sum(len(message.tool_calls) for message in messages)


def _described(tool: Tool) -> str:
    schema = json.dumps(tool.parameters, ensure_ascii=False)
    return f"- {tool.name}: {tool.description}\n  {schema}"


def _plain(message: Message, names: dict[str, str]) -> Message:
    if message.role == "tool":
        name = names.get(message.tool_call_id, "the tool")
        return Message("user", f"Result of {name}:\n{message.content}")
    blocks = [_block(call) for call in message.tool_calls]
    return Message(message.role, "\n\n".join(filter(None, [message.content, *blocks])))


def _block(call: ToolCall) -> str:
    if isinstance(call.arguments, str):
        return f"```tool\n{call.arguments}\n```"
    said = json.dumps({"name": call.name, "arguments": call.arguments}, ensure_ascii=False)
    return f"```tool\n{said}\n```"


def _call(
    text: str, opening: re.Match[str], names: Collection[str]
) -> tuple[str, dict | str, int] | None:
    """Name, arguments and where the block ends, or None if it is no call."""
    meant = opening[1] in ("tool", "tool_call") or opening[1] is None
    begin = opening.end() + len(text[opening.end() :]) - len(text[opening.end() :].lstrip())
    try:
        value, end = _DECODER.raw_decode(text, begin)
    except (ValueError, RecursionError):
        closing = _CLOSING.search(text, opening.end())
        inside = text[opening.end() : closing.start() if closing else len(text)]
        named = _NAME.search(inside)
        if not meant and not (named and named[1] in names and '"arguments"' in inside):
            return None
        return (named[1] if named else ""), inside.strip(), closing.end() if closing else len(text)
    closing = _CLOSING.match(text, end)
    if not isinstance(value, dict):
        return ("", text[begin:end], closing.end() if closing else end) if meant else None
    name = value.get("name", "")
    arguments = value.get("arguments", value.get("parameters"))
    if not meant and (name not in names or not isinstance(arguments, dict | str)):
        return None
    return str(name), _object(arguments), closing.end() if closing else end


def _object(arguments: object) -> dict | str:
    """Arguments that were written as a JSON text of their own are read once more."""
    if isinstance(arguments, dict):
        return arguments
    if arguments is None:
        return {}
    return parsed(arguments) if isinstance(arguments, str) else json.dumps(arguments)


def parsed(text: str) -> dict | str:
    """A call's arguments as they came: an object, or the text if that is not one."""
    try:
        value = _DECODER.decode(text or "{}")
    except (ValueError, RecursionError):
        return text
    return value if isinstance(value, dict) else text
