"""The yes of a client's user: what is asked before `tandem mcp` writes or runs, in the exact words."""

import shlex
from collections.abc import Sequence
from pathlib import Path

from mcp.server.mcpserver import Context, Elicit, ElicitationResult
from pydantic import BaseModel, Field

from lsp.mcp_answers import told_errors
from lsp.mcp_roots import Roots, folder_of
from sandbox import accept
from sandbox.allowed import shown
from sandbox.fixrun import RunFolder
from sandbox.policy import Policy
from sandbox.ruling import Answer, Ruling
from tandem import config, secrets
from tandem.errors import UsageError
from tandem.workspace import root_of

LONGEST_QUESTION = 20_000  # characters: what nobody reads nobody can approve


class Yes(BaseModel):
    """What the client's user is asked."""

    yes: bool = Field(title="Yes, do this", description="No leaves everything as it is.")


def may_apply(run: str, told: Roots, ctx: Context) -> Elicit[Yes]:
    """The question before a patch is written: its repository and its whole diff."""
    with told_errors():
        _must_ask(ctx, f"Or run: tandem fix --resume {run} --apply")
        said = RunFolder.known(run).reported()
        folder_of(ctx, said["repository"], told)
        accept.texts(run)
        diff = shown(said["found"][0]["diff"])
        return _question(f"Apply this patch to {said['repository']}?\n\n{diff}")


def may_run(
    command: list[str], repository: str, timeout_s: float, told: Roots, ctx: Context
) -> Elicit[Yes]:
    """The question before a command runs: its words, and where."""
    with told_errors():
        _must_ask(ctx, "Or run: tandem sandbox run -- COMMAND")
        words = shown(shlex.join(command))
        folder = folder_of(ctx, repository, told)
        where, ruled = shown(str(folder)), ruling(folder, command)
        because = "".join(f"\nbecause of a rule: {reason}" for reason in ruled.reasons)
        return _question(
            f"Run this in a sandbox, on a copy of {where}, for at most {timeout_s:g} s?\n\n{words}"
            f"{because}"
        )


def ruling(root: Path, command: Sequence[str]) -> Ruling:
    """Why a rule wants a person to be asked. Raises UsageError for what the rules refuse."""
    found = Policy(config.load(root_of(root / "file")).agent, ()).command(command)
    if found.answer is Answer.REFUSE:
        raise UsageError(f"The rules refuse it: {'; '.join(found.reasons)}.", "See your settings.")
    return found


def must_be_yes(approval: ElicitationResult[Yes]) -> None:
    if approval.action != "accept" or not approval.data.yes:
        raise UsageError("The user did not say yes: nothing was done.")


def _question(words: str) -> Elicit[Yes]:
    if len(words) > LONGEST_QUESTION:
        raise UsageError(
            "This is too long to be approved here.", "Use tandem's own command line for it."
        )
    return Elicit(secrets.redact(words), Yes)


def _must_ask(ctx: Context, otherwise: str) -> None:
    able = ctx.client_capabilities
    if able is None or able.elicitation is None:
        raise UsageError("This client cannot ask its user, so nothing is done.", otherwise)
