"""Runs inside the container: what a function was called with, and what it does with the like of it.

Asked by one JSON object on stdin, answers with JSON lines on stdout. Standard library only.

    {"do": "record", "path": "shop/till.py", "first": 12, "argv": ["-q", ...], "most": 40}
        runs pytest and keeps the arguments of calls of the function whose code begins at that line:
        first a line with its names and sys.path, then one for each call, as they come
    {"do": "play", "module": ..., "name": ..., "path_list": [...], "calls": [...], "made": 100,
     "seed": 1, "seconds": 0.5}
        calls it with these arguments and with changed ones, a line for each outcome

Arguments travel as pickles that are read in here only. Changed ones depend on the pickles and the
seed, so that every candidate meets the same.
"""

import base64
import contextlib
import hashlib
import importlib
import io
import itertools
import json
import os
import pickle
import random
import re
import signal
import sys

LARGEST = 20_000  # bytes of a pickle
SHOWN = 160  # characters of an outcome that people may read
_ITEMS = 200  # of a generator
_RECORDED_S = 2.0  # a call may take while it is recorded; its arguments are known by then
_ENDLESS_S = 0.2  # may any call take once so many did not end:
_ENDLESS = 3
_MOST_ENDLESS = 30  # then a play ends
_DEPTH = 8


class OutOfTime(BaseException):
    """Not an Exception, so that `except Exception` in a candidate does not catch it."""


class Enough(BaseException):
    """As many calls are known as were asked for."""


def record(order: dict) -> None:
    """Says module, qualified name and sys.path, then the calls, base64; nothing: never called."""
    import pytest

    wanted, first, most = os.path.realpath(order["path"]), order["first"], order["most"]
    kept: set[bytes] = set()
    depth = stopped = 0

    def watch(frame, event, _argument):
        nonlocal depth
        code = frame.f_code
        if code.co_firstlineno != first or event not in ("call", "return"):
            return
        if "<" in code.co_qualname:  # a module, a comprehension, a function inside a function
            return
        if os.path.realpath(code.co_filename) != wanted:
            return
        depth = max(0, depth + (1 if event == "call" else -1))
        if event == "return":
            if not depth:
                signal.setitimer(signal.ITIMER_REAL, 0)
            return
        if depth == 1:
            signal.setitimer(signal.ITIMER_REAL, _RECORDED_S if stopped < _ENDLESS else _ENDLESS_S)
        try:
            data = pickle.dumps(_arguments(frame), protocol=4)
        except Exception:  # what cannot be pickled cannot be played again
            return
        if len(data) <= LARGEST and data not in kept:
            if not kept:
                module = frame.f_globals.get("__name__", "")
                _answer({"module": module, "name": code.co_qualname, "path_list": sys.path})
            kept.add(data)
            _answer({"call": base64.b64encode(data).decode()})
            if len(kept) >= most:
                raise Enough

    def ring(_number, _frame):
        nonlocal depth, stopped
        depth, stopped = 0, stopped + 1
        raise OutOfTime

    signal.signal(signal.SIGALRM, ring)
    sys.setprofile(watch)
    # On a busy machine an alarm may come when its call has just ended: what is told by then counts.
    quiet = contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO())
    try:
        with contextlib.suppress(OutOfTime), quiet[0], quiet[1]:
            pytest.main([*order["argv"], "-p", "no:cacheprovider"], plugins=[_Ends(kept, most)])
    finally:
        sys.setprofile(None)
        signal.setitimer(signal.ITIMER_REAL, 0)


class _Ends:
    """A plugin that ends the session when enough calls are known."""

    def __init__(self, kept: set, most: int) -> None:
        self._kept, self._most = kept, most

    def pytest_runtest_logfinish(self):
        if len(self._kept) >= self._most:
            import pytest

            pytest.exit("enough calls are known")


def _arguments(frame) -> tuple[list, dict]:
    code, values = frame.f_code, frame.f_locals
    names = code.co_varnames
    plain = [values[name] for name in names[: code.co_argcount]]
    at = code.co_argcount
    named = {name: values[name] for name in names[at : at + code.co_kwonlyargcount]}
    at += code.co_kwonlyargcount
    if code.co_flags & 0x04:  # *args
        plain += values[names[at]]
        at += 1
    if code.co_flags & 0x08:  # **kwargs
        named |= values[names[at]]
    return plain, named


def play(order: dict) -> None:
    sys.path[:] = order["path_list"]
    seconds = order["seconds"]
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            function = importlib.import_module(order["module"])
            for part in order["name"].split("."):
                function = getattr(function, part)
    except BaseException as error:
        _answer({"broken": f"{type(error).__name__}: {error}"[:SHOWN]})
        return
    signal.signal(signal.SIGALRM, _ring)
    calls = [base64.b64decode(call) for call in order["calls"]]
    rng = random.Random(order["seed"])
    asked = [(data, None) for data in calls]
    asked += [
        (calls[number % len(calls)], rng.random())
        for number in range(order["made"] if calls else 0)
    ]
    endless = 0
    for data, seed in asked:
        told = _called(function, data, seed, seconds if endless < _ENDLESS else _ENDLESS_S)
        endless += told.get("kind") == "timeout"
        _answer(told)
        if endless == _MOST_ENDLESS:
            break


def _called(function, data: bytes, seed, seconds: float) -> dict:
    try:
        plain, named = pickle.loads(data)  # noqa: S301 - in the container, by which it was made
        if seed is not None:
            plain, named = changed(plain, named, random.Random(seed))
    except BaseException as error:
        return {"outcome": f"not made: {type(error).__name__}"}
    asked, shape = canonical((plain, named)), ""
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            result = function(*plain, **named)
            if hasattr(result, "__next__"):
                result = list(itertools.islice(result, _ITEMS))
        outcome = f"{canonical(result)} | {canonical((plain, named))}"
        kind, shape = "value", type(result).__name__
    except OutOfTime:
        outcome, kind = "no end", "timeout"
    except BaseException as error:
        outcome, kind = f"raises {type(error).__name__}", "error"
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    digest = hashlib.sha256(outcome.encode("utf-8", "replace")).hexdigest()[:20]
    told = {"asked": asked[:SHOWN], "text": outcome[:SHOWN], "shape": shape[:SHOWN]}
    return {"outcome": digest, "kind": kind, **told}


def _ring(_number, _frame):
    raise OutOfTime


def changed(plain: list, named: dict, rng: random.Random) -> tuple[list, dict]:
    """One or two of the arguments changed; `self` and other objects stay as they are."""
    places = [*range(len(plain)), *named]
    for _ in range(rng.choice((1, 1, 2))):
        if not places:
            break
        place = rng.choice(places)
        values = plain if isinstance(place, int) else named
        values[place] = mutated(values[place], rng)
    return plain, named


def mutated(value, rng: random.Random, depth: int = 0):
    """A value of the same type that is a little different."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return rng.choice((value + 1, value - 1, 0, 1, -value, 2 * value, rng.randint(-3, 12)))
    if isinstance(value, float):
        return rng.choice((value + 1, value / 2, 0.0, -value, value * 10))
    if isinstance(value, str):
        return "".join(_sequence(list(value), rng, depth, lambda one: rng.choice("aZ 0_" + one)))
    if isinstance(value, bytes):
        return bytes(_sequence(list(value), rng, depth, lambda one: rng.randrange(256)))
    if depth > _DEPTH:
        return value
    inner = lambda one: mutated(one, rng, depth + 1)  # noqa: E731
    if type(value) is list:
        return _sequence(value, rng, depth, inner)
    if type(value) is tuple:
        return tuple(_sequence(list(value), rng, depth, inner))
    if type(value) in (set, frozenset):
        return type(value)(_sequence(sorted(value, key=repr), rng, depth, inner))
    if type(value) is dict and value:
        key = rng.choice(sorted(value, key=repr))
        if rng.random() < 0.3:
            return {k: v for k, v in value.items() if k != key}
        return {**value, key: inner(value[key])}
    return value


def _sequence(items: list, rng: random.Random, depth: int, inner) -> list:
    way = rng.choice(("item", "item", "drop", "double", "swap", "reverse", "sort", "empty", "add"))
    at = rng.randrange(len(items)) if items else 0
    if way == "empty" or not items:
        return []
    if way == "item":
        return [*items[:at], inner(items[at]), *items[at + 1 :]]
    if way == "drop":
        return [*items[:at], *items[at + 1 :]]
    if way == "double":
        return [*items[:at], items[at], *items[at:]]
    if way == "add":
        return [*items, inner(items[at])]
    if way == "swap":
        items = list(items)
        other = rng.randrange(len(items))
        items[at], items[other] = items[other], items[at]
        return items
    try:
        return sorted(items, reverse=way == "reverse")
    except TypeError:  # not of one kind
        return items[::-1]


def canonical(value, depth: int = 0) -> str:
    """The same text for equal values: no addresses, sets and dictionaries in order."""
    if depth > _DEPTH:
        return "..."
    inner = lambda one: canonical(one, depth + 1)  # noqa: E731
    if type(value) in (list, tuple):
        return f"{type(value).__name__}({', '.join(map(inner, value))})"
    if isinstance(value, set | frozenset):
        return f"set({', '.join(sorted(map(inner, value)))})"
    if isinstance(value, dict):
        pairs = sorted(f"{inner(key)}: {inner(one)}" for key, one in value.items())
        return f"dict({', '.join(pairs)})"
    plain = value is None or isinstance(value, bool | int | float | complex | str | bytes | type)
    if plain or not hasattr(value, "__dict__"):
        return re.sub(r" at 0x[0-9a-f]+", "", repr(value))
    return f"{type(value).__name__}({inner(vars(value))})"


def _answer(line: dict) -> None:
    _OUT.write(json.dumps(line) + "\n")
    _OUT.flush()


# Of its own, as pytest takes hold of the usual one.
_OUT = os.fdopen(os.dup(1), "w", encoding="utf-8") if __name__ == "__main__" else sys.stdout
if __name__ == "__main__":
    sys.setrecursionlimit(3000)
    asked = json.load(sys.stdin)
    {"record": record, "play": play}[asked["do"]](asked)
