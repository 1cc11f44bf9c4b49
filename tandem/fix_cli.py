"""`tandem fix`: a patch for a failing test, proved in a sandbox; nothing is written without a yes."""

import json
import signal
import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from tandem import config, progress, swebench_cli
from tandem.errors import TandemError, UsageError
from tandem.visible import visible

if TYPE_CHECKING:
    from sandbox.agent.team import Team
    from sandbox.approval import Asker
    from sandbox.audit import Log
    from sandbox.fix import Fix
    from sandbox.fixrun import RunFolder
    from sandbox.report import Report
    from sandbox.swebench.instance import Instance

NO_FIX = 3
Approve = Literal["each", "commands", "final"]


def fix(
    repository: Annotated[Path, typer.Argument(help="Its top folder.")] = Path(),
    test: Annotated[
        str, typer.Option(metavar="CMD", help="How to run the tests; default: found out.")
    ] = "",
    seconds: Annotated[float, typer.Option(min=1, help="For the search.")] = 600.0,
    candidates: Annotated[int, typer.Option(min=1, help="Most that are tried.")] = 20_000,
    model: Annotated[bool, typer.Option(help="Let the model order and propose.")] = True,
    localize_only: Annotated[
        bool, typer.Option("--localize-only", help="Print the suspicious lines, and end.")
    ] = False,
    apply: Annotated[
        bool, typer.Option("--apply", help="Write the best patch, after a yes.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Say that yes now.")] = False,
    resume: Annotated[str, typer.Option(metavar="ID", help="Go on with a run that ended.")] = "",
    out: Annotated[
        Path | None, typer.Option(help="Append a line in SWE-bench's format to this file.")
    ] = None,
    instance: Annotated[str, typer.Option(help="The instance's id in that line.")] = "",
    agent: Annotated[
        bool, typer.Option("--agent", help="Ask the chat model first, not after the templates.")
    ] = False,
    issue: Annotated[
        str,
        typer.Option(metavar="FILE", help="An issue, traceback or review comment; -: from stdin."),
    ] = "",
    attempts: Annotated[
        int, typer.Option(min=1, max=16, help="Attempts of the chat model side by side.")
    ] = 1,
    steps: Annotated[int, typer.Option(min=1, help="Most answers of each attempt.")] = 40,
    budget_tokens: Annotated[int, typer.Option(min=1, help="For each attempt.")] = 400_000,
    budget_money: Annotated[
        float, typer.Option(min=0, help="For each attempt, by chat.prices; 0: no limit.")
    ] = 0.0,
    budget_minutes: Annotated[float, typer.Option(min=0.01, help="For each attempt.")] = 20.0,
    approve: Annotated[
        Approve | None, typer.Option(help="What the agent asks you; default: as set.")
    ] = None,
    ask_json: Annotated[
        bool, typer.Option("--ask-json", help="Ask on stdout, read answers on stdin: JSON lines.")
    ] = False,
    swebench: Annotated[
        Path | None, typer.Option(metavar="INSTANCES", help="Fix all of this file, into --out.")
    ] = None,
    repos: Annotated[
        Path | None, typer.Option(help="With --swebench: the folder with the clones.")
    ] = None,
    oracle_tests: Annotated[
        bool, typer.Option("--oracle-tests", help="With --swebench: the fix may see its tests.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Find a patch that makes failing tests pass and breaks none, in a sandbox, on a copy.

    Exit code 0: fixed, or nothing fails; 3: no fix was found. Ctrl-C leaves a run that --resume
    goes on with.
    """
    from rich.console import Console

    from sandbox import assistant, audit, fixrun
    from sandbox.approval import asker
    from sandbox.fix import Fix, order_of
    from sandbox.report import rendered

    if swebench is not None:
        chat = config.load().chat
        if not (oracle_tests or chat.endpoint or chat.model):
            raise UsageError(
                "Without a chat model an issue's text alone leads to no fix.",
                "Set chat.endpoint, or add --oracle-tests: the fix may then see the instance's tests.",
            )
        options = {"seconds": seconds, "candidates": candidates, "model": model}
        solve = partial(_solved, options)
        return swebench_cli.predict(swebench, repos, out, oracle_tests, solve)
    if yes and not apply:
        raise UsageError("--yes says yes to --apply.", "Add --apply, or leave --yes out.")
    if ask_json and issue == "-":
        raise UsageError("Both the issue and the answers would come from stdin.", "Name a file.")
    if not repository.is_dir():
        raise UsageError(f"There is no folder {repository}.", "Name a repository's top folder.")
    if resume:
        run = fixrun.RunFolder.known(resume)
        log = audit.go_on(resume)
    else:
        order = order_of(
            repository,
            test=test,
            seconds=seconds,
            candidates=candidates,
            model=model,
            issue=_issue(issue),
            agent=agent,
            attempts=attempts,
            steps=steps,
            tokens=budget_tokens,
            money=budget_money,
            minutes=budget_minutes,
        )
        run = fixrun.RunFolder.new(order)
        log = audit.start(run.id)
    asked = asker(ask_json)
    with log, progress.on_stderr() as tell:
        log.append("order", **vars(run.order()))
        made = Fix(run, log, tell, _note)
        if localize_only:
            _localise(made, as_json)
            log.seal()
            return
        made.assistant = assistant.of(run.order(), _note)
        made.team = _team(run, log, approve, asked)
        with _ctrl_c(made):
            report = made.run()
        log.seal()
    if out is not None:
        with out.open("a", encoding="utf-8") as stream:
            stream.write(report.prediction(instance or run.id) + "\n")
    if as_json:
        typer.echo(json.dumps(report.as_json()))
    else:
        Console().print(rendered(report))
        typer.echo(f"run {run.id}")
    if report.ended == "stopped":
        typer.echo(f"tandem: go on with: tandem fix --resume {run.id}", err=True)
        raise typer.Exit(130)
    if report.fixed and apply:
        _apply(run, report, asked, yes, made)
    if report.ended == "no fix":
        raise typer.Exit(NO_FIX)


def _solved(options: dict[str, Any], folder: Path, test: str, instance: "Instance") -> str:
    """The prediction for one instance that is laid out in a folder. Raises TandemError."""
    from sandbox import assistant, audit, fixrun
    from sandbox.approval import Nobody
    from sandbox.fix import Fix, order_of

    issue = "" if test else instance.problem_statement
    run = fixrun.RunFolder.new(order_of(folder, test=test, issue=issue, **options))
    with audit.start(run.id) as log, progress.on_stderr() as tell:
        log.append("order", instance=instance.id, **vars(run.order()))
        team = _team(run, log, None, Nobody())
        report = Fix(run, log, tell, _note, assistant.of(run.order(), _note), team).run()
        log.seal()
    return report.prediction(instance.id)


def _team(run: "RunFolder", log: "Log", approve: Approve | None, asked: "Asker") -> "Team | None":
    from sandbox.agent.team import Team

    settings = config.load(Path(run.order().repository))
    for line in settings.notices:
        _note(line)
    if approve is not None:
        settings.agent.approve = approve
    return Team.of(run, log, settings, asked, _note)


def _issue(name: str) -> str:
    """The text of an issue. Raises UsageError if there is none."""
    if not name:
        return ""
    try:
        text = sys.stdin.read() if name == "-" else Path(name).read_text("utf-8", errors="replace")
    except OSError as error:
        raise UsageError(f"The issue {name} cannot be read: {error.strerror}.") from error
    if not text.strip():
        raise UsageError("The issue is empty.", "Say what should happen and what does.")
    return text


def _localise(made: "Fix", as_json: bool) -> None:
    from rich.console import Console

    from sandbox import suspects

    found, _ = made.localise()
    if as_json:
        rows = [vars(one) for one in found.suspects]
        failing = [one.id for one in found.baseline.failing]
        typer.echo(json.dumps({"v": 1, "failing": failing, "suspects": rows}))
    elif found.suspects:
        Console().print(suspects.table(found))
    else:
        typer.echo("Nothing fails: there is no suspicious line.")


def _apply(run: "RunFolder", report: "Report", asked: "Asker", yes: bool, made: "Fix") -> None:
    """Write the best patch, after a yes to its diff. Raises TandemError if a file changed since the
    run began, and where nobody says yes."""
    from sandbox import accept

    granted = made.team.approval.granted_texts if made.team and made.team.approval else ()
    texts = accept.texts(run.id)
    done = accept.write(run.id, asked, agreed=yes, granted_texts=granted, by="tandem fix")
    typer.echo(f"Applied to {', '.join(done.files)}. What was there before is {done.ref}.")
    _remember(run, report, texts.new, texts.old)


def _remember(
    run: "RunFolder", report: "Report", files: Mapping[str, str | None], old: Mapping[str, str]
) -> None:
    """Keep what was applied as an episode. It is written already: what goes wrong here is a note."""
    from sandbox import episodes

    template = report.found[0].template
    try:
        kept = episodes.remember(
            Path(report.repository), run.id, run.symptoms(), files, old, template
        )
    except TandemError as error:
        _note(f"not remembered: {error}")
    else:
        typer.echo(f"Remembered as {kept.id}: see tandem memory list")


class _ctrl_c:
    """Ctrl-C ends the search with a report of what there is; a second one ends the program."""

    def __init__(self, made: "Fix") -> None:
        self._made = made

    def __enter__(self) -> None:
        self._before = signal.signal(signal.SIGINT, self._stop)

    def __exit__(self, *_: object) -> None:
        signal.signal(signal.SIGINT, self._before)

    def _stop(self, _number: int, _frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, self._before)
        self._made.stop()


def _note(line: str) -> None:
    typer.echo(f"tandem: {visible(line)}", err=True)  # a model may have written it
