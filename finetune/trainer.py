"""The loop of a training run, and its state: what `train` runs.

A step's samples are split between the processes and laid in rows; gradients are added up, clipped
and given to AdamW, which works on float32 masters. Everything that decides how the run goes on is
in `State` and the tensors of a checkpoint.
"""

import json
import math
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from finetune import checkpoint, device, learner, packing, schedule
from finetune.optimizer import Optimizer
from finetune.packing import END, MIDDLE, PREFIX, Packer
from finetune.processes import Group
from finetune.recipe import Recipe
from finetune.runfolder import RunFolder
from finetune.state import Progress, Result, State
from tandem.errors import TandemError

TRUNK = "trunk"


class Trainer:
    """Loads, steps, validates, saves. Of several processes each has one; the first one writes."""

    def __init__(
        self,
        recipe: Recipe,
        base: Path,
        samples: Path,
        out: Path,
        validation: Path | None,
        where: torch.device,
        group: Group,
        clock: schedule.Clock,
    ) -> None:
        self.recipe, self.base = recipe, base
        self.device, self.group, self.clock = where, group, clock
        learner.check(base)
        self.row_tokens = min(recipe.row_tokens, recipe.tokens_per_step)
        config = json.loads((base / "config.json").read_text("utf-8"))
        longest = min(self.row_tokens, config.get("max_position_embeddings") or self.row_tokens)
        vocabulary = int(config.get("vocab_size") or 1 << 32)
        data = packing.load(samples, longest, vocabulary)
        self.packer = Packer(data, recipe.seed, recipe.tokens_per_step)
        self.held_out: Packer | None = None
        if validation is not None:
            found = packing.load(validation, longest, vocabulary)
            self.held_out = Packer(found, recipe.seed, recipe.tokens_per_step)
        self.folder = RunFolder(out, recipe, base, samples, validation)
        self.state = State()
        self.costs = {"save": 0.0, "validation": 0.0, "step": 0.0}

    def finished(self) -> Result | None:
        """What an earlier run of the same arguments made."""
        told = self.folder.result()
        return Result(**{**told, "folder": self.folder.made}) if told else None

    def train(
        self,
        start: Path | None,
        on_progress: Callable[[Progress], None] | None,
        should_stop: Callable[[], bool] | None,
    ) -> Result:
        recipe, state = self.recipe, self.state
        self._load(start)
        if state.validated < 0:
            self._validate(0)
            self._save(checkpoint.step_name(0))  # and so learn what saving costs
            if recipe.patience:  # what never gets better ends as it began
                self._save(checkpoint.best_name(0), weights_only=True)
        saved = time.monotonic()
        while True:
            done, stop = self.group.agree(
                [self._done(), bool(should_stop and should_stop())], self.device
            )
            due = int(done * recipe.validations)
            if due > state.validated or (done >= 1 and state.validated < recipe.validations):
                improved = self._validate(due)
                if improved and recipe.patience:
                    self._save(checkpoint.best_name(state.step), weights_only=True)
                    self._save(checkpoint.step_name(state.step))
                    saved = time.monotonic()
            early = bool(recipe.patience) and state.worse >= recipe.patience
            if done >= 1 or early:
                return self._finish("early" if early else "done")
            if stop:
                self._save(checkpoint.step_name(state.step))
                return self._result("cancelled")
            if recipe.decay_share and schedule.decaying(recipe, done):
                self._save(TRUNK)  # from here on the rate falls: more data would go on from here
            began = time.monotonic()
            record = self._step(recipe.learning_rate * schedule.factor(recipe, done, state.step))
            self.costs["step"] = time.monotonic() - began
            self._log(record)
            if on_progress and self.group.first:
                on_progress(self._progress(record["loss"]))
            if time.monotonic() - saved > recipe.save_minutes * 60:
                self._save(checkpoint.step_name(state.step))
                saved = time.monotonic()

    def _step(self, rate: float) -> dict[str, Any]:
        """One update. Returns its line of the log."""
        state, group = self.state, self.group
        picked, position = self.packer.step(state.position)
        weight = max(1e-9, self.packer.weight(picked))
        mine = packing.share(picked, self.packer.samples.lengths, group.size, group.rank)
        sums = torch.zeros(7, device=self.device)
        for row in self.packer.rows(mine, self.row_tokens):
            row = row.to(self.device)
            loss, each = self.learner.losses(row, weight)
            loss.backward()
            sums += torch.cat([loss.detach()[None], _sums(row, each)])
        gradients = self.learner.gradients()
        group.sum([*gradients, sums])
        loss, *parts = sums.tolist()
        norm = self.optimizer.step(rate) if math.isfinite(loss) else math.nan
        if not math.isfinite(norm):
            hint = "Start again in an empty folder with a lower learning rate."
            raise TandemError(f"The loss is not a number any more at step {state.step}.", hint)
        self.learner.publish()
        state.step += 1
        state.position = position
        state.tokens += self.packer.tokens(picked)
        return {
            "step": state.step,
            "tokens": state.tokens,
            "seconds": round(self.clock.seconds(), 3),
            "loss": loss,
            **_means(parts),
            "norm": norm,
            "rate": rate,
        }

    def _validate(self, number: int) -> bool:
        """Log the loss on held-out samples; whether it is the best so far."""
        state = self.state
        state.validated = number
        if self.held_out is None:
            return False
        began = time.monotonic()
        lengths = self.held_out.samples.lengths
        count = int((lengths.cumsum() <= self.recipe.validation_tokens).sum()) or 1
        mine = packing.share(range(count), lengths, self.group.size, self.group.rank)
        sums = torch.zeros(6, device=self.device)
        with torch.no_grad():
            for row in self.held_out.rows(mine, self.row_tokens):
                row = row.to(self.device)
                sums += _sums(row, self.learner.losses(row, 1.0)[1])
        self.group.sum([sums])
        parts = sums.tolist()
        counted = parts[3 + MIDDLE] + parts[3 + END]
        answers = (parts[MIDDLE] + parts[END]) / max(counted, 1.0)
        state.validation = answers
        state.before = answers if state.before is None else state.before
        self.costs["validation"] = time.monotonic() - began
        seconds = round(self.clock.seconds(), 3)
        told = {f"validation_{name}": value for name, value in _means(parts).items()}
        self._log(
            {
                "step": state.step,
                "number": number,
                "seconds": seconds,
                "validation": answers,
                **told,
            }
        )
        if state.best is None or answers < state.best:
            state.best, state.best_step, state.worse = answers, state.step, 0
            return True
        state.worse += 1
        return False

    def _finish(self, ended: str) -> Result:
        state = self.state
        if self.recipe.patience and state.best_step is not None and state.best_step != state.step:
            best = self.folder.checkpoints / checkpoint.best_name(state.best_step)
            self.learner.load(checkpoint.read(best)[0])
            state.validation = state.best
        if self.group.first:
            self.learner.export(self.folder.made)
        result = self._result(ended)
        if self.group.first:
            told = {**asdict(result), "folder": self.folder.made.name}
            self.folder.finish({"position": state.position, "result": told})
            for path in (
                *checkpoint.steps(self.folder.checkpoints),
                *self.folder.checkpoints.glob("best-*"),
            ):
                shutil.rmtree(path, ignore_errors=True)
        self.group.wait()
        return result

    def _result(self, ended: str) -> Result:
        state = self.state
        kept = state.best_step if self.recipe.patience and ended != "cancelled" else state.step
        return Result(
            self.folder.made,
            ended,
            state.step,
            state.tokens,
            self.clock.seconds(),
            state.step if kept is None else kept,
            state.before,
            state.validation,
            self.group.size,
        )

    def _done(self) -> float:
        # The step that is running when time is up, the last validation, and saving what was made.
        reserve = 2 * self.costs["save"] + self.costs["validation"] + self.costs["step"]
        state = self.state
        seconds = self.clock.seconds()
        return schedule.progress(self.recipe, seconds, state.step, state.tokens, reserve)

    def _progress(self, loss: float) -> Progress:
        state, seconds = self.state, self.clock.seconds()
        done = self._done()
        if self.recipe.minutes:
            left = max(0.0, self.recipe.minutes * 60 - seconds)
        else:
            left = seconds * (1 - done) / max(done, 1e-9)
        return Progress(state.step, state.tokens, done, loss, state.validation, seconds, left)

    def _load(self, start: Path | None) -> None:
        """The model, the optimizer, and the newest checkpoint, if there is one."""
        width = device.width(self.recipe.precision, self.device)
        replays = bool(self.packer.samples.replayed.any())
        self.learner = learner.load(self.recipe, self.base, self.device, width, replays)
        self.optimizer = Optimizer(self.recipe, self.learner.masters)
        found = checkpoint.latest(self.folder.checkpoints) if self.group.first else None
        self.group.wait()
        found = found or checkpoint.latest(self.folder.checkpoints)
        if found:
            tensors, told = found
            self.folder.demand_same(told)
            self._restore(tensors, told)
            self.state.__dict__.update({name: told[name] for name in State.__dataclass_fields__})
            self.clock.add(self.state.seconds)
        elif start is not None:
            tensors, told = checkpoint.read(start)
            self._restore(tensors, told)
            self.state.position = told["position"] if self.folder.same_samples(told) else 0
        if self.group.first:
            self.folder.cut_log(self.state.step, self.state.validated)

    def _restore(self, tensors: dict[str, torch.Tensor], told: dict[str, Any]) -> None:
        self.learner.load(_under("weight.", tensors))
        self.optimizer.restore(tensors, float(told["updates"]))

    def _save(self, name: str, weights_only: bool = False) -> None:
        if self.group.first and not (self.folder.checkpoints / name).exists():
            began = time.monotonic()
            masters = self.learner.masters
            tensors = dict(masters) if weights_only else _over("weight.", masters)
            moments, updates = ({}, 0.0) if weights_only else self.optimizer.state()
            self.state.seconds = self.clock.seconds()
            told = {**self.folder.identity, **asdict(self.state), "updates": updates}
            checkpoint.save(self.folder.checkpoints, name, {**tensors, **moments}, told)
            if name.startswith("step-"):
                checkpoint.prune(self.folder.checkpoints)
            self.costs["save"] = time.monotonic() - began
        self.group.wait()

    def _log(self, record: dict[str, Any]) -> None:
        if self.group.first:
            self.folder.log(record)


def _sums(row: packing.Row, each: torch.Tensor) -> torch.Tensor:
    """[6]: the sum of the losses of each part, and how many targets each has."""
    inside = torch.stack([row.parts == part for part in (MIDDLE, END, PREFIX)]).to(each.dtype)
    return torch.cat([inside @ each.detach(), inside.sum(1)])


def _means(parts: list[float]) -> dict[str, float | None]:
    names = {"middle": MIDDLE, "end": END, "prefix": PREFIX}
    return {
        name: parts[part] / parts[3 + part] if parts[3 + part] else None
        for name, part in names.items()
    }


def _over(prefix: str, tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {prefix + name: tensor for name, tensor in tensors.items()}


def _under(prefix: str, tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {
        name.removeprefix(prefix): tensor
        for name, tensor in tensors.items()
        if name.startswith(prefix)
    }
