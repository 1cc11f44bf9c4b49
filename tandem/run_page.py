"""`tandem audit show --html`: one run as one page, from the order to the verdict."""

import json
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sandbox.story import objects
from tandem import page as pages
from tandem.page import esc
from tandem.plots import across

if TYPE_CHECKING:
    from sandbox.agent_step import Step
    from sandbox.story import Event, Story

STAGES = ("failing", "covering", "all", "passed", "lost")
_TOLD = {
    "failing": "a failing test still fails",
    "covering": "a test that ran the line breaks",
    "all": "another test breaks",
    "passed": "all pass",
    "lost": "its sandbox was lost",
}
_HELD = {"True": "held", "False": "FAILED"}
_SUSPECTS = 20
_TESTS = 50
_STYLE = """
.good { color: var(--b); background: none; } .bad { color: #c0392b; background: none; }
.warn { color: var(--c); background: none; } td.score { width: 9rem; }
td.score i { display: block; height: .7rem; margin-top: .35rem; background: var(--a); }
pre.diff { padding: .5rem 0; } pre.diff span { display: block; padding: 0 .5rem; }
.add { background: color-mix(in srgb, var(--b) 22%, transparent); }
.del { background: color-mix(in srgb, #c0392b 22%, transparent); }
.at { color: var(--dim); } .patch { border-left: 3px solid var(--line); padding-left: 1rem;
  margin: 1rem 0; } details.step { border-bottom: 1px solid var(--line); padding: .2rem 0; }
summary { cursor: pointer; } details.step summary { display: grid; gap: .7rem;
  grid-template-columns: 3rem 5rem 8rem 1fr 7rem; }
summary span { overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
code { font-family: ui-monospace, monospace; } td code { white-space: pre-wrap; }
"""


def page(story: "Story") -> str:
    """The whole page. Every text of the run is escaped; it has no script."""
    parts = [
        _head(story),
        *_section("Plan", [f"<pre>{esc(one.text)}</pre>" for one in _kind(story.steps, "plan")]),
        *_section("Patches", [_patch(n, one) for n, one in enumerate(story.rows("found"), 1)]),
        *_section("Tests", [_tests(story)]),
        *_section("Suspicious lines", [_suspects(story.rows("suspects"))]),
        *_section("Candidates by template", [_tried(story)]),
        *_section("Steps of the agent", [_step(one) for one in story.steps]),
        *_section("Time", [_times(story)]),
        *_section("Notes", [f"<p>{esc(one)}</p>" for one in _notes(story)]),
        *_section("What the log says", [_events(story.events)]),
    ]
    return pages.page(f"Tandem: run {story.id}", "\n".join(parts), _STYLE)


def _head(story: "Story") -> str:
    good = story.ended in ("fixed", "nothing fails")
    ended = story.ended or "it did not come to its end"
    chained = (
        '<b class="good">intact</b>: no line was changed, added or taken away'
        if story.intact
        else f'<b class="bad">NOT intact</b>: {esc(story.why)}'
    )
    began = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(story.began))
    spent = story.spent
    rows = {
        "ended": f'<b class="{"good" if good else "warn"}">{esc(ended)}</b>',
        "repository": esc(story.report.get("repository") or story.order.get("repository") or ""),
        "commit": esc(str(story.report.get("base") or "")[:12]),
        "tests": f"<code>{esc(story.report.get('tests') or story.order.get('test') or '')}</code>",
        "model": esc(story.report.get("model") or "none"),
        "began": f"{esc(began)}, took {story.seconds:.1f} s",
        "log": chained,
    }
    if story.steps:
        rows["chat model"] = (
            f"{spent.answers} answers, {spent.prompt:,} tokens read, {spent.completion:,} written, "
            f"cost {spent.cost:.4f}"
        )
    if story.lacks:
        rows["not there"] = esc("; ".join(story.lacks))
    cells = (f"<tr><th>{esc(name)}</th><td>{told}</td></tr>" for name, told in rows.items() if told)
    return f"<table>{''.join(cells)}</table>"


def _section(title: str, parts: Iterable[str]) -> list[str]:
    """Nothing where there is nothing to say."""
    told = [part for part in parts if part]
    return [f"<h2>{esc(title)}</h2>", *told] if told else []


def _kind(steps: Iterable["Step"], kind: str) -> "list[Step]":
    return [one for one in steps if one.kind == kind]


def _patch(number: int, one: Mapping[str, Any]) -> str:
    label = str(one.get("label", ""))
    colour = "good" if label == "verified" else "warn"
    checks = [
        (
            check.get("name"),
            _HELD.get(str(check.get("passed")), "not made"),
            check.get("why"),
        )
        for check in objects(one.get("checks"))
    ]
    told = one.get("flags")
    flags = "".join(
        f'<p class="warn">look at: {esc(flag)}</p>'
        for flag in (told if isinstance(told, list) else ())
    )
    return (
        f'<div class="patch"><p>{number}. <b class="{colour}">{esc(label)}</b> '
        f"{esc(one.get('path'))}:{esc(one.get('line'))} "
        f'<span class="dim">{esc(one.get("template"))}, candidate {esc(one.get("number"))}, '
        f"rank {esc(one.get('rank'))} of the suspicious lines</span></p>"
        f"{diff(str(one.get('diff', '')))}{flags}"
        f"{_table(('check', 'it', 'because'), checks)}"
        f"<p>{esc(one.get('verdict') or 'not judged in a fresh container')}</p></div>"
    )


def diff(text: str) -> str:
    """A unified diff with a colour for each kind of line."""
    lines = text.split("\n")
    if lines and not lines[-1]:
        lines.pop()
    return f'<pre class="diff">{"".join(map(_line, lines))}</pre>'


def _line(line: str) -> str:
    kind = ""
    if line.startswith(("diff ", "--- ", "+++ ", "@@", "new file", "deleted file")):
        kind = ' class="at"'
    elif line.startswith("+"):
        kind = ' class="add"'
    elif line.startswith("-"):
        kind = ' class="del"'
    return f"<span{kind}>{esc(line) or ' '}</span>"


def _tests(story: "Story") -> str:
    """Before, and with the best patch."""
    baseline = next(iter(story.of("baseline")), None)
    data = baseline.data if baseline else {}
    failing = story.items("failing") or data.get("failing") or []
    if not isinstance(failing, list) or (not failing and not baseline):
        return ""
    found = story.rows("found")
    held = bool(found) and str(found[0].get("verdict", "")).startswith("holds")
    after = "passes" if held else "not judged" if found else "still fails"
    rows = [(test, "fails", after) for test in failing[:_TESTS]]
    passing = story.report.get("passing", data.get("passing", 0))
    flaky = story.items("flaky")
    more = f"<p>and {len(failing) - _TESTS} more</p>" if len(failing) > _TESTS else ""
    kept = ", all of them with the best patch, too" if held else ""
    told = (
        f"<p>{esc(passing)} tests passed before{kept}; {len(flaky)} flaky ones are set aside.</p>"
    )
    return _table(("test", "before", "with the best patch"), rows) + more + told


def _suspects(rows: Sequence[Mapping[str, Any]]) -> str:
    if not rows:
        return ""
    lines = []
    for one in rows[:_SUSPECTS]:
        score = one.get("score")
        share = min(1.0, max(0.0, score)) if isinstance(score, int | float) else 0.0
        why = one.get("why")
        lines.append(
            f"<tr><td>{esc(one.get('path'))}:{esc(one.get('line'))}</td>"
            f'<td class="n">{share:.2f}</td>'
            f'<td class="score"><i style="width:{100 * share:.0f}%"></i></td>'
            f"<td><code>{esc(one.get('text'))}</code></td>"
            f'<td class="dim">{esc("; ".join(map(str, why)) if isinstance(why, list) else "")}</td>'
            "</tr>"
        )
    more = f'<p class="dim">{len(rows) - _SUSPECTS} more</p>' if len(rows) > _SUSPECTS else ""
    return f"<table>{''.join(lines)}</table>{more}"


def _tried(story: "Story") -> str:
    if not story.tried:
        return ""
    rows = sorted(story.tried.items(), key=lambda one: (-one[1]["passed"], -sum(one[1].values())))
    bars = [
        (name, (float(sum(counts.values())), float(counts["passed"])), _stages(counts))
        for name, counts in rows
    ]
    whole = sum(sum(counts.values()) for _, counts in rows)
    told = "; ".join(f"{stage}: {_TOLD[stage]}" for stage in STAGES)
    return f'<p>{whole} were tried.</p>{across(bars)}<p class="dim">{esc(told)}</p>'


def _stages(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{counts[stage]} {stage}" for stage in STAGES if counts.get(stage))


def _step(one: "Step") -> str:
    said = next(iter(one.text.strip().splitlines()), "") or one.outcome
    body = "".join(
        f"<h3>{esc(name)}</h3><pre>{esc(text)}</pre>"
        for name, text in (
            ("said", one.text),
            ("arguments", one.arguments),
            ("result", one.result),
        )
        if text
    )
    colour = {"failed": "warn", "error": "bad", "solved": "good"}.get(one.outcome, "")
    tokens = int(one.usage.get("prompt", 0) + one.usage.get("completion", 0))
    cost = f"{tokens:,} tokens" if tokens else f"{one.seconds:.1f} s" if one.seconds else ""
    place = f"{one.attempt}.{one.number}" if one.attempt else str(one.number)
    return (
        f'<details class="step"><summary><span>{esc(place)}</span><span>{esc(one.kind)}</span>'
        f'<span>{esc(one.tool)}</span><span class="{colour}">{esc(said)}</span>'
        f'<span class="dim">{esc(cost)}</span></summary>{body}</details>'
    )


def _times(story: "Story") -> str:
    seconds = story.report.get("seconds")
    if not isinstance(seconds, dict):
        return ""
    rows = [
        (str(name), (float(s),), f"{s:.1f} s")
        for name, s in seconds.items()
        if isinstance(s, int | float)
    ]
    return across(rows) if rows else ""


def _notes(story: "Story") -> list[str]:
    told = list(map(str, story.items("notes")))
    if story.report:
        told.append(
            "The log is chained. The patches, suspicious lines, candidates and steps are from "
            "the run's folder, which no chain protects."
        )
    return told


def _events(events: "Sequence[Event]") -> str:
    rows = "".join(
        f'<tr><td class="n">{one.at:.1f} s</td><th>{esc(one.name)}</th>'
        f"<td><code>{esc(json.dumps(one.data, ensure_ascii=False))}</code></td></tr>"
        for one in events
    )
    return f"<details><summary>{len(events)} lines</summary><table>{rows}</table></details>"


def _table(headings: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    if not rows:
        return ""
    head = "".join(f"<th>{esc(one)}</th>" for one in headings)
    lines = ("".join(f"<td>{esc(cell)}</td>" for cell in row) for row in rows)
    return f"<table><tr>{head}</tr>{''.join(f'<tr>{line}</tr>' for line in lines)}</table>"
