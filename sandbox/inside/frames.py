"""Stack frames of the repository, with the values of their locals as short texts."""

import reprlib
import types

MOST_FRAMES = 40
MOST_VALUES = 24
LONGEST_VALUE = 160
LONGEST_MESSAGE = 2000

_short = reprlib.Repr()
_short.maxlevel = 4
_short.maxstring = _short.maxother = _short.maxlong = LONGEST_VALUE
_short.maxlist = _short.maxtuple = _short.maxdict = _short.maxset = 12


def text_of(value: object) -> str:
    """A short text of any value, also where its own repr fails."""
    try:
        return _short.repr(value)[:LONGEST_VALUE]
    except BaseException as error:  # the repository's own code runs here
        return f"<{type(value).__name__}: repr gave {type(error).__name__}>"


def message_of(error: BaseException) -> str:
    try:
        return f"{type(error).__name__}: {error}"[:LONGEST_MESSAGE]
    except BaseException:
        return type(error).__name__


def of_error(error: BaseException, root: str) -> list[dict]:
    """From the test inwards; an exception's cause follows it, as it happened deeper."""
    found: list[dict] = []
    seen: set[int] = set()
    at: BaseException | None = error
    while at is not None and id(at) not in seen and len(seen) < 5:
        seen.add(id(at))
        trace = at.__traceback__
        while trace is not None:
            _add(found, trace.tb_frame, trace.tb_lineno, root)
            trace = trace.tb_next
        at = at.__cause__ or (None if at.__suppress_context__ else at.__context__)
    return _few(found)


def of_stack(frame: types.FrameType | None, root: str) -> list[dict]:
    """The running calls, from the outermost inwards."""
    stack: list[types.FrameType] = []
    while frame is not None:
        stack.append(frame)
        frame = frame.f_back
    found: list[dict] = []
    for one in reversed(stack):
        _add(found, one, one.f_lineno, root)
    return _few(found)


def one(frame: types.FrameType, line: int, root: str) -> dict:
    values = {}
    for name, value in list(frame.f_locals.items())[:MOST_VALUES]:
        if not name.startswith("@"):  # pytest's own
            values[name] = text_of(value)
    return {
        "path": frame.f_code.co_filename[len(root) + 1 :],
        "line": line,
        "function": frame.f_code.co_name,
        "values": values,
    }


def _add(found: list[dict], frame: types.FrameType, line: int | None, root: str) -> None:
    if not frame.f_code.co_filename.startswith(root + "/"):
        return
    path = frame.f_code.co_filename[len(root) + 1 :]
    again = found and (found[-1]["path"], found[-1]["line"]) == (path, line)
    if not again and len(found) < 2000:  # deep recursion: the same line once
        found.append({"frame": frame, "path": path, "line": line or 0, "root": root})


def _few(found: list[dict]) -> list[dict]:
    kept = found if len(found) <= MOST_FRAMES else found[:10] + found[10 - MOST_FRAMES :]
    return [one(f["frame"], f["line"], f["root"]) for f in kept]
