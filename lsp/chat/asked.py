"""What an editor asks a chat command for: the arguments of `workspace/executeCommand`.

Either one object, or in this order: uri, range, instruction.

    uri           a document that is open
    range         of it, as in LSP; without one, the whole document
    instruction   what to do, or the question; an issue to mend (`tandem.fix` without diagnostics)
    test          how to run the tests (`tandem.fix`)
    diagnostics   messages to mend (`tandem.fix`)
    token         where pieces of the answer go: `$/progress` {token, value: {text}}
    apply         have the edit applied, after a yes; false: it is only in the answer
    new           begin a new conversation (`tandem.ask`), and do not go on with the last one
    show          show the text as a message, for who does not look at answers
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import cattrs
from lsprotocol import converters, types
from pygls.exceptions import JsonRpcInvalidParams

LONGEST = 20_000  # characters of an instruction
_ORDER = ("uri", "range", "instruction")
_converter = converters.get_converter()


@dataclass(frozen=True)
class Asked:
    """See the module."""

    uri: str = ""
    range: types.Range | None = None
    instruction: str = ""
    test: str = ""
    diagnostics: tuple[str, ...] = ()
    token: str | int | None = None
    apply: bool = True
    new: bool = False
    show: bool = False


def parse(arguments: Sequence[Any]) -> Asked:
    """Raises JsonRpcInvalidParams that names the argument at fault."""
    given = [_plain(one) for one in arguments]
    if len(given) == 1 and isinstance(given[0], Mapping):
        named = dict(given[0])
    elif len(given) <= len(_ORDER):
        named = dict(zip(_ORDER, given, strict=False))
    else:
        raise JsonRpcInvalidParams(f"Give one object, or {', '.join(_ORDER)}.")
    named = {key: value for key, value in named.items() if value is not None}
    if unknown := sorted(named.keys() - {field.name for field in fields(Asked)}):
        raise JsonRpcInvalidParams(f"There is no argument {unknown[0]!r}.")
    for name in ("uri", "instruction", "test"):
        if not isinstance(named.get(name, ""), str) or len(named.get(name, "")) > LONGEST:
            raise JsonRpcInvalidParams(f"{name} must be a text of at most {LONGEST} characters.")
    for name in ("apply", "new", "show"):
        if not isinstance(named.get(name, False), bool):
            raise JsonRpcInvalidParams(f"{name} must be true or false.")
    token = named.get("token")
    if token is not None and (isinstance(token, bool) or not isinstance(token, str | int)):
        raise JsonRpcInvalidParams("token must be a text or a number.")
    told = named.get("diagnostics", [])
    if not isinstance(told, list) or not all(isinstance(one, str) for one in told):
        raise JsonRpcInvalidParams("diagnostics must be a list of messages.")
    return Asked(**{**named, "range": _range(named.get("range")), "diagnostics": tuple(told)})


def _range(value: Any) -> types.Range | None:
    if value is None:
        return None
    try:
        found = _converter.structure(value, types.Range)
    except (cattrs.BaseValidationError, TypeError, KeyError, ValueError) as error:
        raise JsonRpcInvalidParams("range must be an LSP range.") from error
    places = (found.start, found.end)
    if any(p.line < 0 or p.character < 0 for p in places):
        raise JsonRpcInvalidParams("range must not have negative numbers.")
    return found


def _plain(value: Any) -> Any:
    """pygls gives objects that no one has described as named tuples."""
    if hasattr(value, "_asdict"):
        return {name: _plain(one) for name, one in value._asdict().items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return value
