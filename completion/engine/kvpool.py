"""A few cached sequences: who asks gets the one that shares most with its prompt.

A sequence is borrowed with `take` and comes back with `give_back`; nobody else can have it in
between. What a request would overwrite is kept if it is worth more than a copy of the shared
part, so that going to another function and back, or deleting and typing again, reads no prompt
twice. Memory is bounded in bytes; the sequence nobody asked for longest goes first.

A salt keeps apart who must not learn what others asked: by nothing that a request is told, and by
no time that it takes, can a sequence of another salt be told from none. Memory is common, so that
who asks much still makes others' old sequences go.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from completion.engine.kv import KVCache
from completion.shared import shared_length

# Below this a shared prefix is chance (an import line, a chat header), not the same document.
SHARED_PREFIX_TOKENS = 16
# So many prompt tokens more in a pass cost next to nothing; losing them is cheaper than a copy.
CHEAP_TOKENS = 16
# More of them would take longer to look through than they save.
MAX_IDLE = 16
# Memory is counted in steps of so many tokens: pages, and drafts that were written and refused.
COUNTED_TOKENS = 64


class Taken(NamedTuple):
    """A borrowed cache, and the tokens that followed the whole prompt in a cached sequence.

    When somebody types what was suggested, `followed` is the rest of the suggestion.
    """

    cache: KVCache
    followed: list[int]


class Whose(NamedTuple):
    """Only sequences of the same weights and of the same salt are the same to anybody."""

    owner: object
    salt: str


class KVPool:
    """Sequences of one or several owners: weights whose keys and values must not be mixed.

    `new_cache` makes an empty cache that touches memory only as it is written. The caches use at
    most `limit` bytes, but one sequence can always be had. Not thread-safe.
    """

    def __init__(self, new_cache: Callable[[], KVCache], limit: int) -> None:
        self._new_cache = new_cache
        self._limit = limit
        self._idle: list[_Entry] = []  # the one used longest ago first
        self._held: dict[int, _Entry] = {}
        self._may_exceed = False

    def take(
        self,
        tokens: Sequence[int],
        room: int,
        owner: object = None,
        urgent: bool = False,
        salt: str = "",
    ) -> Taken | None:
        """A cache that holds as much of `tokens` as any of `owner`'s with `salt`, and no more.

        `room` is how many tokens the caller will write at most, the prompt's among them. At
        least the last prompt token is left to be computed, because its logits are wanted. None
        if the memory is lent to others: come again when one of them is given back. What is
        `urgent` is had at once, over the limit if need be; the caller asks so for one at a time.
        """
        assert 0 < len(tokens) <= room
        self._may_exceed = urgent or not self._held
        wanted, whose = list(tokens), Whose(owner, salt)
        source, length = self._best(wanted, whose)
        followed = self._followed(wanted, whose)
        entry = self._place(source, length, wanted, room, whose)
        if entry is None:
            return None
        entry.prompt, entry.room = wanted, room
        entry.cache.owner = owner
        self._held[id(entry.cache)] = entry
        return Taken(entry.cache, followed)

    def renew(self, cache: KVCache, tokens: Sequence[int], room: int) -> bool:
        """Keep a loan for a longer prompt that the sequence holds, or is about to hold.

        False if there is no memory for `room` tokens; the loan is as it was then.
        """
        entry = self._held[id(cache)]
        self._may_exceed = len(self._held) == 1
        others = sum(other.bytes for other in self._held.values() if other is not entry)
        if not self._make_room(entry.bytes_of(max(room, entry.touched)), others, None):
            return False
        entry.prompt, entry.room = list(tokens), max(room, entry.room)
        return True

    def give_back(self, cache: KVCache) -> None:
        """End a loan. Asserts that there was one."""
        assert id(cache) in self._held, "given back twice, or never taken"
        entry = self._held.pop(id(cache))
        entry.prompted, entry.prompt = shared_length(entry.prompt, cache.tokens), []
        entry.touched, entry.room = max(entry.touched, len(cache)), 0
        if not entry.dropped and len(cache):
            self._idle.append(entry)

    def forget(self, owner: object) -> None:
        """Drop what belongs to an owner; what is lent goes when it comes back."""
        self._idle = [entry for entry in self._idle if entry.whose.owner is not owner]
        for entry in self._held.values():
            entry.dropped |= entry.whose.owner is owner

    def clear(self) -> None:
        """Drop everything, so that the next prompt is read as the first one was."""
        for entry in (*self._idle, *self._held.values()):
            self.forget(entry.whose.owner)

    def cached(self, tokens: Sequence[int], owner: object = None, salt: str = "") -> int:
        """How many tokens of a prompt `take` would find."""
        return self._best(list(tokens), Whose(owner, salt))[1]

    @property
    def bytes(self) -> int:
        """Memory that the sequences use, or may use until they are given back."""
        return sum(entry.bytes for entry in (*self._idle, *self._held.values()))

    @property
    def sequences(self) -> int:
        return len(self._idle) + len(self._held)

    def _of(self, whose: Whose) -> "list[_Entry]":
        entries = (*self._idle, *self._held.values())
        return [entry for entry in entries if entry.whose == whose and not entry.dropped]

    def _best(self, wanted: list[int], whose: Whose) -> "tuple[_Entry | None, int]":
        """The sequence to go on from, if any, and how much of the prompt it holds."""
        shared = [(shared_length(e.tokens, wanted[:-1]), e) for e in self._of(whose)]
        length = max((length for length, _ in shared), default=0)
        if length < SHARED_PREFIX_TOKENS:
            return None, 0
        best = [entry for found, entry in shared if found == length]
        idle = [entry for entry in best if entry in self._idle]
        return min(idle or best, key=lambda entry: self._loss(entry, length)), length

    def _followed(self, wanted: list[int], whose: Whose) -> list[int]:
        size = len(wanted)
        found = (e.tokens[size:] for e in self._of(whose) if e.tokens[:size] == wanted)
        return max(found, key=len, default=[])

    def _place(
        self, source: "_Entry | None", length: int, wanted: list[int], room: int, whose: Whose
    ) -> "_Entry | None":
        """The source itself, rewound, or a new sequence with a copy of what is shared."""
        lent = sum(entry.bytes for entry in self._held.values())
        if source is not None and source in self._idle:
            # Deleting takes a little at a time; together that is worth a copy, too.
            deletes = length == len(wanted) - 1
            loss = self._loss(source, length) + (source.deleted if deletes else 0)
            copied = lent + source.bytes + source.bytes_of(room)
            if loss <= CHEAP_TOKENS or copied > self._limit:
                size = source.bytes_of(max(room, source.touched))
                if not self._make_room(size, lent, source):
                    return None
                self._idle.remove(source)
                source.cache.rewind(length)
                source.deleted = loss if deletes else 0
                return source
        entry = _Entry(self._new_cache(), whose)
        kept = source if source in self._idle else None
        if not self._make_room(entry.bytes_of(room), lent + (kept.bytes if kept else 0), kept):
            return None
        if source is not None:
            entry.cache.copy_prefix(source.cache, length)
            entry.touched = length
            if kept:  # it was of use: that counts as a use
                self._idle.remove(kept)
                self._idle.append(kept)
        return entry

    def _make_room(self, size: int, kept: int, spare: "_Entry | None") -> bool:
        """Drop old sequences until `size` bytes fit beside `kept`; false if they never will."""
        if kept + size > self._limit and not self._may_exceed:
            return False
        victims = [entry for entry in self._idle if entry is not spare]
        left = sum(entry.bytes for entry in victims)
        while victims and (kept + left + size > self._limit or len(victims) >= MAX_IDLE):
            # What another sequence holds as well goes first.
            spared = (entry for entry in victims if self._loss(entry, 0) <= CHEAP_TOKENS)
            victim = next(spared, victims[0])
            victims.remove(victim)
            self._idle.remove(victim)
            left -= victim.bytes
        return True

    def _loss(self, entry: "_Entry", length: int) -> int:
        """Prompt tokens that nobody holds any more if this sequence is cut to `length`."""
        others = (e for e in self._of(entry.whose) if e is not entry)
        elsewhere = (shared_length(entry.tokens, other.tokens) for other in others)
        return max(0, entry.prompted - max([length, *elsewhere]))


@dataclass(eq=False)
class _Entry:
    """A sequence. Its first `prompted` tokens were in a prompt, the rest was generated.

    `deleted` counts prompt tokens that were given up one after the other. Pages that were
    written stay in memory after a rewind: `touched` is the most tokens there ever were.
    """

    cache: KVCache
    whose: Whose
    prompted: int = 0
    deleted: int = 0
    touched: int = 0
    room: int = 0
    dropped: bool = False
    prompt: list[int] = field(default_factory=list)

    @property
    def tokens(self) -> list[int]:
        return self.cache.tokens

    @property
    def bytes(self) -> int:
        return self.bytes_of(max(self.touched, self.room))

    def bytes_of(self, tokens: int) -> int:
        steps = -(-tokens // COUNTED_TOKENS) + 1
        return min(steps * COUNTED_TOKENS, self.cache.capacity) * self.cache.bytes_per_token
