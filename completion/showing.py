"""What of a suggestion goes on display: its likely start, if anybody would accept that."""

from dataclasses import dataclass, replace

from completion import display, silence
from completion.document import Document
from completion.filters import may_end
from completion.gate import Ask
from completion.hole import hole_kind
from completion.reply import Reply
from completion.sure import sure_part
from tandem import trace
from tandem.config import CompletionConfig


@dataclass(frozen=True)
class Found:
    """What is left to insert of a reply, after `typed` characters that stand there already, in
    place of the next `replaces` characters."""

    text: str
    of: Reply
    typed: int
    replaces: int = 0


def to_show(
    document: Document,
    offset: int,
    ask: Ask,
    found: Found,
    event: trace.Event,
    options: CompletionConfig,
) -> Found:
    """What of it to show; what is on display already stays as it is.

    Raises Silence if nobody would accept it.
    """
    reply = found.of
    plain = not found.replaces and found.text == reply.text[found.typed :]
    if reply.id and not ask.invoked:
        if not plain:
            return found
        if found.typed < reply.end:
            return replace(found, text=reply.text[found.typed : reply.end])
        reply.id = ""  # what was shown is taken; this is the rest
    if plain and options.cut_unsure and not ask.invoked:
        hole = hole_kind(document.text, offset, document.language)
        ends = may_end(document.text[:offset], document.text[offset:], hole)
        size = sure_part(found.text, reply.after(found.typed), ends)
        if size < len(found.text):
            event.details["left_out"] = found.text[size:]
            found = replace(found, text=found.text[:size])
    _judge(document, offset, ask, found, event, options)
    reply.id = reply.id or event.id
    reply.end = found.typed + len(found.text) if plain else len(reply.text)
    return found


def _judge(
    document: Document,
    offset: int,
    ask: Ask,
    found: Found,
    event: trace.Event,
    options: CompletionConfig,
) -> None:
    """Raises Silence if nobody would accept it."""
    blank = len(found.text) - len(found.text.lstrip()) if found.text[:1] == "\n" else 0
    # A line ahead is judged as it will be once Enter was pressed.
    text = document.text[:offset] + found.text[:blank] + document.text[offset:]
    known = display.features(
        found.text[blank:],
        text,
        offset + blank,
        hole_kind(text, offset + blank, document.language),
        document.language,
        found.of.logprobs(found.typed + blank, len(found.text) - blank),
        last=ask.last,
        keys=ask.keys,
        now=ask.now,
    )
    verdict = display.current().verdict(known, found.text)
    event.details |= {"features": known, "score": verdict.score}
    if verdict.explored:
        event.details["explored"] = True
    if options.display_gate and not ask.invoked and not verdict.show:
        event.details["answer"] = found.text
        raise silence.Silence(silence.UNSURE)
