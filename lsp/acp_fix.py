"""A fix run as an editor sees it by ACP: a plan of its stages, a tool call with the diff, a
question before it is written."""

import asyncio
from pathlib import Path
from typing import Any

import acp
from acp import schema
from acp.interfaces import Client

from sandbox import accept
from sandbox.allowed import shown
from sandbox.driven import Driven
from sandbox.report import Report
from tandem import secrets

SECONDS = 300.0  # for the search
# What a run goes through, in this order; others that it tells belong to the one before.
STAGES = {
    "copy": "Copy the repository",
    "sandbox": "Start sandboxes",
    "baseline": "Run the tests, and find suspicious lines",
    "search": "Try patches",
    "checks": "Check the ones that pass",
    "verdict": "Judge them in a fresh container",
}
ALLOW, REJECT = "allow", "reject"


async def fixed(client: Client, session: str, root: Path, test: str, id: str) -> None:
    """Look for a patch, tell how it goes, and write it if the user allows that.

    Raises TandemError. Cancelling stops the search; nothing is written then.
    """
    told: asyncio.Queue[str | None] = asyncio.Queue()
    loop = asyncio.get_running_loop()

    def tell(stage: str, done: int, total: int) -> None:
        loop.call_soon_threadsafe(told.put_nowait, stage)

    driven = Driven.begin(root, test=test, seconds=SECONDS, tell=tell)
    title = f"Fix the failing tests (run {driven.id})"
    await client.session_update(
        session, acp.start_tool_call(id, title, kind="execute", status="in_progress")
    )
    telling = asyncio.create_task(_tell(client, session, told))
    status: schema.ToolCallStatus = "failed"
    try:
        report = await driven.finished()
        status = "completed" if report.ended in ("fixed", "nothing fails") else "failed"
    finally:
        told.put_nowait(None)
        await telling
        await client.session_update(session, acp.update_tool_call(id, status=status))
    await _say(client, session, _summary(report))
    if report.found:
        await _written(client, session, root, report, f"{id}-write")


async def _written(client: Client, session: str, root: Path, report: Report, id: str) -> None:
    """Show the diff, ask, and write."""
    texts = await asyncio.to_thread(accept.texts, report.id)
    content: list[Any] = [
        acp.tool_diff_content(str(root / path), new or "", texts.old.get(path))
        for path, new in texts.new.items()
    ]
    places = [schema.ToolCallLocation(path=str(root / path)) for path in texts.new]
    title = f"Write the {report.found[0].label} patch to {', '.join(sorted(texts.new))}"
    await client.session_update(
        session,
        acp.start_tool_call(
            id, title, kind="edit", status="pending", content=content, locations=places
        ),
    )
    answer = await client.request_permission(
        session_id=session,
        tool_call=schema.ToolCallUpdate(
            tool_call_id=id, title=title, kind="edit", status="pending", content=content
        ),
        options=[
            schema.PermissionOption(option_id=ALLOW, name="Write it", kind="allow_once"),
            schema.PermissionOption(option_id=REJECT, name="Leave it", kind="reject_once"),
        ],
    )
    outcome = answer.outcome
    if not isinstance(outcome, schema.AllowedOutcome) or outcome.option_id != ALLOW:
        await client.session_update(session, acp.update_tool_call(id, status="failed"))
        await _say(client, session, "Nothing was written.")
        return
    try:
        done = await asyncio.to_thread(
            accept.write, report.id, accept.Told(), by="the user of an ACP editor"
        )
    except BaseException:
        await client.session_update(session, acp.update_tool_call(id, status="failed"))
        raise
    await client.session_update(session, acp.update_tool_call(id, status="completed"))
    files = ", ".join(done.files)
    await _say(client, session, f"Written to {files}. What was there before is `{done.ref}`.")


async def _tell(client: Client, session: str, told: asyncio.Queue[str | None]) -> None:
    """The plan, each time that another stage begins."""
    names = list(STAGES)
    at = -1
    while (stage := await told.get()) is not None:
        reached = names.index(stage) if stage in names else at
        if reached == at:
            continue
        at = reached
        await client.session_update(session, acp.update_plan(_plan(at)))
    if at == len(names) - 1:
        await client.session_update(session, acp.update_plan(_plan(len(names))))


def _plan(at: int) -> list[schema.PlanEntry]:
    states = ("completed", "in_progress", "pending")
    return [
        acp.plan_entry(text, status=states[(number >= at) + (number > at)])
        for number, text in enumerate(STAGES.values())
    ]


def _summary(report: Report) -> str:
    if report.ended == "nothing fails":
        return "Nothing fails: there is nothing to fix."
    tried = sum(report.tried.values())
    notes = "".join(f"\n- {shown(secrets.redact(note))}" for note in report.notes)
    if not report.found:
        return f"No patch was found among {tried} candidates.{notes}"
    best = report.found[0]
    checks = "".join(
        f"\n- {check.name}: {_MARKS[check.passed]}; {shown(check.why)}" for check in best.checks
    )
    return (
        f"A **{best.label}** patch: {len(report.failing)} tests failed and pass with it, "
        f"{report.passing} still pass. {shown(best.verdict)}\n{checks}{notes}"
    )


_MARKS = {True: "held", False: "FAILED", None: "not made"}


async def _say(client: Client, session: str, text: str) -> None:
    await client.session_update(session, acp.update_agent_message_text(text))
