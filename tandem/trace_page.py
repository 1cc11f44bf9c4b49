"""`tandem trace --html`: the requests as one page that can be searched."""

import json
import time
from collections.abc import Iterable

from tandem import page as pages
from tandem.page import esc
from tandem.plots import COLOURS
from tandem.requests import WITHIN, Request, value

_STYLE = """
form { position: sticky; top: 0; background: var(--back); padding: .5rem 0; display: flex;
  gap: .7rem; align-items: center; border-bottom: 1px solid var(--line); }
input, select { font: inherit; padding: .2rem .4rem; } input { flex: 1; }
details.r { border-bottom: 1px solid var(--line); }
summary { display: grid; grid-template-columns: 4.5rem 15rem 4.5rem 9rem 1fr; gap: .7rem;
  padding: .3rem 0; cursor: pointer; align-items: center; }
summary span { overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.bar { display: flex; height: .8rem; background: var(--soft); } .bar i { display: block; }
.why { color: var(--c); background: none; } .inner { padding: 0 0 1rem 1rem; }
h3 { font-size: .95rem; margin: .8rem 0 .2rem; } .key i { display: inline-block; width: .8rem;
  height: .8rem; }
"""
# Our only script: it hides what does not hold all the words, and counts the rest. Words behind
# a "#" in the address are searched for at once, so that a request can be linked to by its id.
_SCRIPT = """
const words = document.getElementById("words"), kind = document.getElementById("kind");
const rows = [...document.querySelectorAll("details.r")];
const texts = rows.map(row => row.textContent.toLowerCase());
function look() {
  const wanted = words.value.toLowerCase().split(" ").filter(Boolean);
  let count = 0;
  rows.forEach((row, n) => {
    row.hidden = !(wanted.every(word => texts[n].includes(word)) &&
      (!kind.value || row.dataset.is.split(" ").includes(kind.value)));
    count += !row.hidden;
  });
  document.getElementById("count").textContent = count + " of " + rows.length;
}
words.addEventListener("input", look);
kind.addEventListener("input", look);
words.value = decodeURIComponent(location.hash.slice(1));
document.forms[0].addEventListener("submit", event => event.preventDefault());
look();
"""
KINDS = ("shown", "silent", "cached", "accepted", "typed", "rejected", "ignored")


def page(found: Iterable[Request]) -> str:
    """The whole page, the newest request first."""
    found = list(found)[::-1]
    names = list(dict.fromkeys(name for request in found for name in request.stages))
    colours = {name: COLOURS[place % len(COLOURS)] for place, name in enumerate(names)}
    key = " ".join(
        f'<i class="{colour}"></i> {esc(name)}'
        for name, colour in colours.items()
        if name not in WITHIN
    )
    options = "".join(f'<option value="{kind}">{kind}</option>' for kind in KINDS)
    body = (
        '<form><input id="words" type="search" placeholder="words, a file, a reason, a rule …" '
        f'aria-label="Search"><select id="kind" aria-label="Kind"><option value="">all</option>'
        f'{options}</select><span id="count">{len(found)}</span></form>\n'
        f'<p class="key dim">{key}</p>\n' + "\n".join(_request(one, colours) for one in found)
    )
    return pages.page("Tandem: requests", body, _STYLE, _SCRIPT)


def _request(request: Request, colours: dict[str, str]) -> str:
    event = request.event
    shown = event["shown"]
    first = esc(str(shown).partition("\n")[0]) if shown is not None else ""
    told = first or f'<b class="why">{esc(event["reason"])}</b>'
    clock = time.strftime("%H:%M:%S", time.localtime(event["time"]))
    name = request.place.replace("\\", "/").rpartition("/")[2]
    return (
        f'<details class="r" data-is="{esc(" ".join(_kinds(request)))}"><summary>'
        f"<span>{esc(clock)}</span><span>{esc(name)}</span><span>{request.total:.0f} ms</span>"
        f"{_bar(request, colours)}<span>{told}</span></summary>"
        f'<div class="inner">{"".join(_inner(request))}</div></details>'
    )


def _kinds(request: Request) -> list[str]:
    kinds = ["silent" if request.event["shown"] is None else "shown"]
    if request.details.get("cache"):
        kinds.append("cached")
    return kinds + [str(outcome["details"].get("outcome")) for outcome in request.outcomes]


def _bar(request: Request, colours: dict[str, str]) -> str:
    stages = {name: ms for name, ms in request.stages.items() if name not in WITHIN}
    whole = max(request.total, sum(stages.values()), 0.01)
    parts = (
        f'<i class="{colours[name]}" style="width:{100 * ms / whole:.1f}%" '
        f'title="{esc(name)} {ms:.2f} ms"></i>'
        for name, ms in stages.items()
    )
    return f'<span class="bar">{"".join(parts)}</span>'


def _inner(request: Request) -> Iterable[str]:
    event = request.event
    yield f'<p class="dim">{esc(event["id"])} · {esc(event["kind"])} · {esc(request.place)}'
    yield f" · {esc(event['model'])}</p>"
    stages = {**request.stages, "total": request.total}
    yield _section("Stages, ms", _pairs({name: f"{ms:.2f}" for name, ms in stages.items()}))
    pieces = "".join(f"<li>{esc(line)}</li>" for line in request.context)
    yield _section("Pieces of other files", pieces and f"<ul>{pieces}</ul>")
    for number, candidate in enumerate(request.candidates, 1):
        rest = {name: value(one) for name, one in candidate.items() if name != "text" and one}
        text = f"<pre>{esc(candidate.get('text', ''))}</pre>{_pairs(rest)}"
        yield _section(f"Candidate {number}", text)
    rules = "".join(f"<li>{esc(rule)}</li>" for rule in request.rules)
    yield _section("Rules that decided", rules and f"<ul>{rules}</ul>")
    if event["shown"] is None:
        yield _section("Nothing shown", f"<p>{esc(event['reason'])}</p>")
    else:
        yield _section("Shown", f"<pre>{esc(event['shown'])}</pre>")
    yield _section("Outcome", request.outcome and f"<p>{esc(request.outcome)}</p>")
    raw = json.dumps(event, ensure_ascii=False, indent=1)
    yield f"<details><summary>event</summary><pre>{esc(raw)}</pre></details>"


def _section(title: str, body: str) -> str:
    return f"<h3>{esc(title)}</h3>{body}" if body else ""


def _pairs(pairs: dict[str, str]) -> str:
    rows = "".join(
        f"<tr><td>{esc(name)}</td><td>{esc(text)}</td></tr>" for name, text in pairs.items()
    )
    return f"<table>{rows}</table>" if rows else ""
