"""`tandem sandbox check`: attacks on the sandbox, tried one by one, and which of them fail."""

import json
import platform
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from tandem.visible import printable, visible

if TYPE_CHECKING:
    from sandbox.probes.check import Result

FAILS = 1
_PAGE = """# Does the sandbox hold?

`tandem sandbox check` tries the attacks below on the machine it runs on, in the containers that
`tandem fix` uses and on the code that lets a repository in and a patch out. `tandem fix` does not
run where one of them works that must not. A probe that breaks counts as one that does not hold.

**Wall missing**: *works* means that the same attack was tried where only the wall that should stop
it was taken out, and worked there; so the probe can fail. *within* means that the probe has its
control in itself, each time: the attack works on who is not careful, or what is harmless is let
through. For those of how a repository comes in and a patch goes out, Tandem's tests also take the
wall out of the code and see the attack work (`tests/test_sandbox_probes_host.py`). Where neither can
be had the reason is given. **Told** stands for what is asked and reported, as versions are: nothing
is exploited, and `tandem fix` does not refuse for it.

Not in the list: the verdict on a patch, which a fresh container and another user give (its own
tests try to forge it); proxies, since there is no network to be let through; and caches of CI, since
nothing is shared. The numbers are those of the checklist that the probes follow.

This table is of {machine}.
It is made by `tandem sandbox check --controls --markdown > docs/sandbox-probes.md`.

| no. | probe | the attacker tries to | answer | wall missing | seen |
|---:|---|---|---|---|---|
"""


def check(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="Print the page of the documents.")
    ] = False,
    controls: Annotated[
        bool,
        typer.Option(
            "--controls",
            help="Also try each attack where its wall is missing: starts containers that are not "
            "shut in, with nothing but the attack in them.",
        ),
    ] = False,
) -> None:
    """Try to break out of the sandbox. Exit code 1 if an attack works that must not."""
    from sandbox import daemon, image
    from sandbox.probes.check import check as tried
    from sandbox.probes.check import remember

    client = daemon.client()
    base = image.base_image(client)
    console = Console(stderr=True)
    with console.status("trying attacks") as status:
        results = tried(
            base,
            client,
            controls=controls,
            tell=lambda result: status.update(printable(f"tried {result.probe.name}")),
        )
    failing = [result for result in results if result.fails]
    if not failing:
        remember(client, base)
    machine = _machine(client.version())
    if as_json:
        rows = [result.to_json() for result in results]
        typer.echo(json.dumps({"v": 1, "machine": machine, "holds": not failing, "probes": rows}))
    elif markdown:
        typer.echo(page(results, machine), nl=False)
    else:
        Console().print(table(results))
        typer.echo(summary(results))
    if failing:
        raise typer.Exit(FAILS)


def table(results: "list[Result]") -> Table:
    """For people at a terminal."""
    shown = Table(box=None, pad_edge=False)
    for heading in ("no.", "probe", "answer", "seen"):
        shown.add_column(heading, justify="right" if heading == "no." else "left")
    for result in sorted(results, key=lambda result: result.probe.group):
        style = "red" if result.fails else "green" if result.holds else "yellow"
        shown.add_row(
            str(result.probe.group),
            printable(result.probe.name),
            printable(answer(result), style=style),
            printable(result.reason),
        )
    return shown


def summary(results: "list[Result]") -> str:
    must = [result for result in results if result.probe.must]
    held = sum(result.holds for result in must)
    told = len(results) - len(must)
    verdict = "The sandbox holds" if held == len(must) else "The sandbox does NOT hold"
    return f"{verdict}: {held} of {len(must)} attacks fail that must, {told} more are told."


def page(results: "list[Result]", machine: str) -> str:
    """The page of the documents, Markdown."""
    rows = [
        f"| {one.probe.group} | {one.probe.name} | {one.probe.attack} | {answer(one)} "
        f"| {_wall(one)} | {visible(one.reason).replace('|', '¦')} |\n"
        for one in sorted(results, key=lambda result: result.probe.group)
    ]
    return _PAGE.format(machine=machine) + "".join(rows) + f"\n{summary(results)}\n"


def answer(result: "Result") -> str:
    if result.fails:
        return "WORKS"
    if not result.probe.must:
        return "told: no" if result.holds else "told: yes"
    return "fails"


def _wall(result: "Result") -> str:
    probe = result.probe
    if probe.without is None:
        return probe.alone or "within"
    tried = {True: "works", False: "FAILS TOO", None: "not tried"}[result.control]
    return f"{tried}: {probe.without.told}"


def _machine(version: dict[str, Any]) -> str:
    return f"Docker {version['Version']} on Linux {platform.release()}, {platform.machine()}"
