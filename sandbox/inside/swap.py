"""A changed file put into the functions that are loaded already, so that nothing is loaded anew.

That comes to the same where the change lies within functions that have not run since the process
began: what they do is seen only when they are called. All else is refused.
"""

import ast
import gc
import inspect
import sys
import threading
import types
import warnings

Key = tuple[str, str, int]  # of a code object: its file, qualified name and first line
Swap = tuple[types.FunctionType, types.CodeType]
FUNCTION = inspect.CO_OPTIMIZED | inspect.CO_NEWLOCALS
FUTURE = 0x1FF0000  # the flags of `from __future__ import ...`
Unit = tuple[int, int, int, tuple[tuple[int, int], ...]]


class Ran:
    """The code objects that were entered since `start`, in all threads."""

    def __init__(self) -> None:
        self._codes: dict[int, types.CodeType] = {}
        codes = self._codes

        def entered(frame: types.FrameType, event: str, arg: object) -> None:
            if event == "call":
                codes[id(frame.f_code)] = frame.f_code

        self._entered = entered

    def start(self) -> None:
        threading.setprofile(self._entered)
        sys.setprofile(self._entered)

    def stop(self) -> set[Key] | None:
        """None if something else took our place: then nobody knows."""
        whole = sys.getprofile() is self._entered
        sys.setprofile(None)
        threading.setprofile(None)  # type: ignore[arg-type]
        return {key(code) for code in self._codes.values()} if whole else None


class Loaded:
    """The functions of a process, to be looked up by their code. `ran` are those that have run."""

    def __init__(self, root: str, ran: set[Key]) -> None:
        self._root = root
        self._ran = ran
        self._files: dict[str, tuple[str, int, list[Unit]]] = {}
        self._live: dict[Key, list[types.FunctionType]] = {}
        gc.unfreeze()  # or those that were loaded first are not listed
        for one in gc.get_objects():
            if type(one) is types.FunctionType and one.__code__.co_filename.startswith(root + "/"):
                self._live.setdefault(key(one.__code__), []).append(one)

    def swaps(self, path: str, new: str) -> list[Swap] | None:
        """What to do for a file to be `new`; None if that is not known to come to the same."""
        full = f"{self._root}/{path}"
        try:
            old, flags, units = self._known(full)
            narrowed = narrow(old, new, units)
            pairs: list[tuple[types.CodeType, types.CodeType]] = []
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                before, after = (
                    compile(text, full, "exec", flags=flags, dont_inherit=True) for text in narrowed
                )
        except (OSError, ValueError, SyntaxError, RecursionError):
            return None
        if not differing(before, after, pairs):
            return None
        found: list[Swap] = []
        for one, other in pairs:
            functions = self._live.get(key(one), [])
            outer = "<locals>" not in one.co_qualname
            if (outer and not functions) or (key(one) in self._ran and shape(one) != shape(other)):
                return None
            for function in functions:
                if function.__code__.co_freevars != other.co_freevars:
                    return None
                found.append((function, other))
        return found or None

    def _known(self, full: str) -> tuple[str, int, list[Unit]]:
        """A file's text, its future flags, and where its functions are. Raises as `open` does."""
        if full not in self._files:
            with open(full, encoding="utf-8", newline="") as file:
                text = file.read()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                tree = ast.parse(text)
                flags = compile(text, full, "exec", dont_inherit=True).co_flags & FUTURE
            self._files[full] = text, flags, units(tree)
        return self._files[full]


def key(code: types.CodeType) -> Key:
    return code.co_filename, code.co_qualname, code.co_firstlineno


def differing(
    old: types.CodeType, new: types.CodeType, pairs: list[tuple[types.CodeType, types.CodeType]]
) -> bool:
    """Add the functions that differ to `pairs`; False if what loads the file differs, too."""
    if shape(old) != shape(new):
        pairs.append((old, new))
        return old.co_flags & FUNCTION == FUNCTION
    inner: list[tuple[types.CodeType, types.CodeType]] = []
    for one, other in zip(old.co_consts, new.co_consts, strict=True):
        if isinstance(one, types.CodeType) and not differing(one, other, inner):
            return False
    if inner and old.co_flags & FUNCTION == FUNCTION:
        pairs.append((old, new))  # it makes the inner ones
    pairs += inner
    return True


def shape(code: types.CodeType) -> tuple[object, ...]:
    """All that a code object does but where its lines are, and what is in its inner ones."""
    constants = tuple(
        None if isinstance(one, types.CodeType) else (type(one), repr(one))
        for one in code.co_consts
    )
    return (
        *(code.co_name, code.co_flags, code.co_code, code.co_exceptiontable, constants),
        *(code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount),
        *(code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars),
    )


def units(tree: ast.Module) -> list[Unit]:
    """The functions of the module and of its classes: lines from 0 to an end, column, and the lines
    of the headers of the classes around."""
    found: list[Unit] = []

    def walk(body: list[ast.stmt], around: tuple[tuple[int, int], ...]) -> None:
        for node in body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                first = min([node.lineno, *(one.lineno for one in node.decorator_list)]) - 1
                found.append((first, node.end_lineno or 0, node.col_offset, around))
            elif isinstance(node, ast.ClassDef):
                inner = node.body[0]
                lines = [
                    inner.lineno,
                    *(one.lineno for one in getattr(inner, "decorator_list", ())),
                ]
                walk(node.body, (*around, (node.lineno - 1, min(lines) - 1)))

    walk(tree.body, ())
    return found


def narrow(old: str, new: str, units: list[Unit]) -> tuple[str, str]:
    """Both texts with nothing but the function in which they differ and the headers around it,
    on the lines where they were; the whole texts where they differ elsewhere."""
    ours, theirs = old.split("\n"), new.split("\n")
    least = min(len(ours), len(theirs))
    first = next((i for i in range(least) if ours[i] != theirs[i]), least)
    tail = next((i for i in range(least - first) if ours[-1 - i] != theirs[-1 - i]), least - first)
    last, end = len(ours) - tail, len(theirs) - tail
    unit = next((one for one in units if _within(one, first, last, theirs[first:end])), None)
    if unit is None:
        return old, new
    start, stop, _, around = unit
    kept = []
    for lines, until in ((ours, stop), (theirs, stop + end - last)):
        blank = [""] * len(lines)
        for one, other in (*around, (start, until)):
            blank[one:other] = lines[one:other]
        kept.append("\n".join(blank))
    return kept[0], kept[1]


def _within(unit: Unit, first: int, last: int, new: list[str]) -> bool:
    """Whether lines `first` to `last`, which become `new`, are of this function alone."""
    start, stop, column, _ = unit
    if start <= first == last == stop:  # below its last line: its own if it is deeper
        return all(len(line) - len(line.lstrip()) > column for line in new if line.strip())
    return start <= first < stop and last <= stop
