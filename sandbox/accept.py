"""A run's best patch on its way to the user's files: rules, then a yes to its diff, then written.

    done = accept.write(run, asker)
    texts = accept.offer(run, by="an editor")

`write` is the way of the command line and of the clients of ACP and MCP. The language server takes
the other: its editor shows the texts, asks, and writes them itself, so that undo is the editor's.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sandbox import apply, audit, patch
from sandbox.allowed import shown
from sandbox.apply import Applied
from sandbox.approval import Approval, Asker, Question
from sandbox.fixrun import RunFolder
from sandbox.patch import Patch
from sandbox.policy import Policy
from sandbox.ruling import Answer
from tandem import config
from tandem.errors import TandemError, UsageError


@dataclass(frozen=True)
class Told:
    """Stands for a person who was shown the very diff elsewhere, and said yes to it."""

    def ask(self, question: Question) -> bool | None:
        return True


@dataclass(frozen=True)
class Texts:
    """Of the files of a patch, as the run found them and as they would be; None for no file."""

    old: Mapping[str, str]
    new: Mapping[str, str | None]


def texts(id: str) -> Texts:
    """What a run's best patch changes. Raises UsageError if the run found none."""
    run = RunFolder.known(id)
    found = run.reported()["found"]
    if not found:
        raise UsageError(f"The run {id} found no patch.", "There is nothing to apply.")
    diffs, copy = patch.parse(found[0]["diff"]), run.copy()
    old = {one.path: copy.text(one.path) for one in diffs if not one.made}
    return Texts(old, patch.apply(diffs, old).files)


def offer(id: str, *, by: str) -> Texts:
    """The texts of a run's best patch, for what shows them to a person and asks there; `by` is for
    the log. Raises TandemError where a rule refuses them."""
    run = RunFolder.known(id)
    found = texts(id)
    settings = config.load(Path(run.order().repository)).agent
    ruling = Policy(settings, run.copy().files).patch(found.new, found.old)
    with audit.go_on(id) as log:
        if ruling.answer is Answer.REFUSE:
            subject, reasons = ", ".join(map(shown, sorted(found.new))), list(ruling.reasons)
            log.append(
                "decision", kind="patch", subject=subject, yes=False, by="rules", reasons=reasons
            )
        else:
            log.append("offered", files=sorted(found.new), by=by)
        log.seal()
    if ruling.answer is Answer.REFUSE:
        raise _refused(ruling.reasons)
    return found


def write(
    id: str,
    asker: Asker,
    *,
    agreed: bool = False,
    granted_texts: Collection[tuple[str, str | None]] = (),
    by: str = "",
) -> Applied:
    """Apply a run's best patch to its repository; `agreed` needs no question, `by` is for the log.

    `granted_texts` as `Approval` has them. Raises TandemError, with every file as it was, where a
    rule or a person says no, and where a file has changed since the run began.
    """
    run = RunFolder.known(id)
    found, repository = texts(id), Path(run.order().repository)
    settings = config.load(repository).agent
    with audit.go_on(id) as log:
        policy = Policy(settings, run.copy().files)
        approval = Approval(policy, settings.approve, asker, log, agreed=agreed)
        approval.granted_texts |= set(granted_texts)
        said = approval.patch(found.new, found.old)
        if not said.yes:
            log.seal()
            raise _refused(said.reasons)
        granted = approval.granted(found.new)
        done = apply.apply(repository, Patch(found.new), found.old, id, granted)
        log.append("applied", files=list(done.files), ref=done.ref, by=by)
        log.seal()
    return done


def _refused(reasons: Sequence[str]) -> TandemError:
    why = "; ".join(reasons)
    return TandemError(f"Nothing was applied: {why}.", "Say yes, or look at your settings.")
