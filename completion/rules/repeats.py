"""Loops: a small model that has nothing to say says the last thing again."""

import re

# Copies in a row. Real code repeats a line twice often enough, a token four times.
LINES = 3
TOKENS = 5
LONGEST_BLOCK = 4  # lines
LONGEST_UNIT = 8  # tokens
# Letters and digits in a block that is not there by chance, as `}` and `0,` are.
_LETTERS = 6
# Lines above in which a copied block is looked for, and how many lines a copy has at least.
ABOVE = 40
COPIED = 3
_AROUND = 4000  # characters on each side that show what is usual here
_TOKEN = re.compile(r"\w+|([^\w\s])\1*")
_WITHIN_WORD = re.compile(r"([^\W\d_]\w{1,11}?)\1{4,}")


def cut_repeated_lines(text: str, prefix: str, suffix: str) -> str:
    """One copy is left of a block of lines that comes three times in a row."""
    lines = [line.rstrip() for line in text.split("\n")]
    lines[0] = prefix[prefix.rfind("\n") + 1 :] + lines[0]
    for first in range(len(lines) - LINES + 1):
        for size in range(1, min(LONGEST_BLOCK, (len(lines) - first) // LINES) + 1):
            block = lines[first : first + size]
            if lines[first : first + size * LINES] != block * LINES or _letters(block) < _LETTERS:
                continue
            twice = "\n".join(block * 2)
            if twice not in prefix[-_AROUND:] and twice not in suffix[:_AROUND]:
                return "\n".join(text.split("\n")[: first + size]).rstrip()
    return text


def cut_token_loops(text: str, prefix: str, suffix: str) -> str:
    """The lines before one that holds the same few tokens over and over, as `a, a, a, a, a`."""
    around = prefix[-_AROUND:] + "\n" + suffix[:_AROUND]
    lines = text.split("\n")
    for number, line in enumerate(lines):
        loop = _loop(line)
        if loop and loop not in around:
            return "\n".join(lines[:number]).rstrip()
    return text


def _loop(line: str) -> str:
    """The text of a loop in this line but for its last copy; "" without one."""
    for match in _WITHIN_WORD.finditer(line):
        if len(set(match[1])) > 1:
            return match[0][: -len(match[1])]
    tokens = list(_TOKEN.finditer(line))
    words = [match[0] for match in tokens]
    for size in range(1, min(LONGEST_UNIT, len(words) // TOKENS) + 1):
        same = 0
        for at in range(size, len(words)):
            same = same + 1 if words[at] == words[at - size] else 0
            if same < size * (TOKENS - 1):
                continue
            unit = words[at - size + 1 : at + 1]
            if any(ch.isalpha() for word in unit for ch in word):
                first, last = tokens[at - size * TOKENS + 1], tokens[at - size]
                return line[first.start() : last.end()]
    return ""


def drop_text_above(text: str, prefix: str) -> str:
    """Nothing of an answer of several lines that is a copy of lines just above."""
    left = prefix[prefix.rfind("\n") + 1 :]
    lines = [line.rstrip() for line in (left + text).split("\n") if line.strip()]
    if left.strip() or len(lines) < 2 or _letters(lines) < 2 * _LETTERS:
        return text
    above = [line.rstrip() for line in prefix[: len(prefix) - len(left)].split("\n")[-ABOVE:]]
    above = [line for line in above if line]
    size = len(lines)
    if above[-size:] == lines:
        return ""
    copies = (above[at : at + size] == lines for at in range(len(above) - size))
    return "" if size >= COPIED and any(copies) else text


def _letters(lines: list[str]) -> int:
    return sum(ch.isalnum() for line in lines for ch in line)
