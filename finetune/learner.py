"""The model in training: which of its weights learn, in what form they run, how they are saved.

Weights that learn exist as float32 *masters*, which the optimizer sees, and in the width of the
forward pass. Full: all weights but the embeddings, of which single rows may learn. LoRA and QLoRA
(arXiv 2106.09685, 2305.14314): low-rank matrices beside every linear layer, through peft.
"""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from transformers import AutoModelForCausalLM

from finetune import attention, checkpoint, fused
from finetune.loss import linear_cross_entropy, linear_divergence
from finetune.packing import Row
from finetune.recipe import Recipe
from tandem.errors import ModelError, TandemError

TARGETS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
_KEPT_FILES = ("tokenizer", "special_tokens", "vocab", "merges", "added_tokens", "chat_template")


class Learner:
    """`masters` maps names to float32 leaves, whose `.grad` holds what `learn` added up."""

    def __init__(self, model: Any, recipe: Recipe, base: Path, teacher: Any = None) -> None:
        """`model` is transformers' own or peft's around it; what requires gradients learns.

        `teacher` is the base as it was, for the rows that are replayed."""
        self.model = model
        self.base = base
        self._recipe = recipe
        causal = model.get_base_model() if hasattr(model, "get_base_model") else model
        self.vocabulary = int(causal.config.vocab_size)
        self.longest = int(getattr(causal.config, "max_position_embeddings", 0) or 1 << 30)
        self._backbone = causal.base_model
        self._table = causal.get_input_embeddings().weight
        self._head = causal.get_output_embeddings().weight
        self._teacher = teacher
        self._live = {name: p for name, p in model.named_parameters() if p.requires_grad}
        self.masters: dict[str, torch.Tensor] = {}
        self._rows: torch.Tensor | None = None

    def own_masters(self, width: torch.dtype, row_ids: tuple[int, ...]) -> None:
        """Take the float32 weights as they are now for masters, and run in `width`."""
        for name, live in self._live.items():
            if width == torch.float32:
                self.masters[name] = live
                continue
            master = live.detach().clone().requires_grad_()
            live.data = live.data.to(width)
            self.masters[name] = master
            live.register_post_accumulate_grad_hook(_collect_in(master))
        if row_ids:
            ids = torch.tensor(row_ids, device=self._table.device)
            self._row_ids = ids
            self._row_of = torch.full((len(self._table),), -1, device=ids.device)
            self._row_of[ids] = torch.arange(len(ids), device=ids.device)
            master = self._table.detach()[ids].float().requires_grad_()
            rows = master
            if width != torch.float32:
                rows = master.detach().to(width).requires_grad_()
                rows.register_post_accumulate_grad_hook(_collect_in(master))
            self.masters["rows"], self._rows = master, rows

    def losses(self, row: Row, weight: float) -> tuple[torch.Tensor, torch.Tensor]:
        """Sum of the weighted losses of a row, and the loss of each target [m] in nats.

        The sum is divided by `weight`, the sum of the weights of all targets of the step. The
        loss of a replayed row is its divergence from the teacher, where there is one.
        """
        embedded = F.embedding(row.ids, self._table)
        if self._rows is not None:
            which = self._row_of[row.ids]
            special = F.embedding(which.clamp(min=0), self._rows)
            embedded = torch.where((which >= 0)[:, None], special, embedded)
        hidden = self._backbone(
            inputs_embeds=embedded[None],
            position_ids=row.positions[None],
            lengths=row.lengths,
            use_cache=False,
        ).last_hidden_state[0][row.at - 1]
        weights = row.weights / weight
        if row.replayed and self._teacher is not None:
            teacher = self._teach(row), self._teacher.get_output_embeddings().weight
            return linear_divergence(hidden, self._head, teacher, weights)
        return linear_cross_entropy(hidden, self._head, row.ids[row.at], weights)

    @torch.no_grad()
    def _teach(self, row: Row) -> torch.Tensor:
        found = self._teacher.base_model(
            row.ids[None], position_ids=row.positions[None], lengths=row.lengths, use_cache=False
        )
        return found.last_hidden_state[0][row.at - 1]

    def gradients(self) -> list[torch.Tensor]:
        """The masters' gradients; zeros for what no target of this process reached."""
        for master in self.masters.values():
            if master.grad is None:
                master.grad = torch.zeros_like(master)
        return [master.grad for master in self.masters.values() if master.grad is not None]

    @torch.no_grad()
    def publish(self) -> None:
        """Let the forward pass see what the optimizer did to the masters."""
        pairs = [(p, self.masters[n]) for n, p in self._live.items() if p is not self.masters[n]]
        if pairs:
            torch._foreach_copy_(  # pyright: ignore[reportPrivateImportUsage]
                [live for live, _ in pairs], [master for _, master in pairs]
            )
        if self._rows is not None:
            if self._rows is not self.masters["rows"]:
                self._rows.copy_(self.masters["rows"])
            # A tied head reads the same rows, as the engine will.
            self._table[self._row_ids] = self._rows.to(self._table.dtype)

    @torch.no_grad()
    def load(self, tensors: dict[str, torch.Tensor]) -> None:
        """Take masters from a checkpoint. Raises TandemError if they are not this model's."""
        for name, master in self.masters.items():
            found = tensors.get(name)
            if found is None or found.shape != master.shape:
                hint = "Start the run again in an empty folder."
                raise TandemError(f"The checkpoint does not fit the model ({name}).", hint)
            master.copy_(found)
        self.publish()

    def export(self, target: Path) -> None:
        """Save what was learned, in float32: a peft folder, or a whole model for a full run."""
        with checkpoint.writing(target) as folder:
            if self._recipe.method == "full":
                self._export_model(folder)
            else:
                self._export_adapter(folder)

    def _export_model(self, folder: Path) -> None:
        whole: Any = AutoModelForCausalLM.from_pretrained(self.base, dtype=torch.float32)
        with torch.no_grad():
            for name, parameter in whole.named_parameters():
                if name in self.masters:
                    parameter.copy_(self.masters[name])
            if self._rows is not None:
                table = whole.get_input_embeddings().weight
                table[self._row_ids.cpu()] = self.masters["rows"].cpu()
        whole.save_pretrained(folder)
        for file in self.base.iterdir():
            if file.name.startswith(_KEPT_FILES):
                shutil.copy(file, folder / file.name)

    def _export_adapter(self, folder: Path) -> None:
        narrow = {name: live.data for name, live in self._live.items()}
        config = self.model.peft_config["default"]
        config.base_model_name_or_path = self.base.name
        try:
            for name, live in self._live.items():
                live.data = self.masters[name].detach()
            self.model.save_pretrained(folder, save_embedding_layers=False)
        finally:
            for name, live in self._live.items():
                live.data = narrow[name]
        (folder / "README.md").unlink(missing_ok=True)  # peft's empty model card


def load(
    recipe: Recipe, base: Path, device: torch.device, width: torch.dtype, replays: bool = False
) -> Learner:
    """Read the base model and make of it what the recipe says; with `replays`, a teacher too.

    Raises ModelError if the base cannot be read or trained, TandemError if a library is missing.
    """
    check(base)
    torch.manual_seed(recipe.seed)
    model = {"full": _full, "lora": _lora, "qlora": _qlora}[recipe.method](
        recipe, base, device, width
    )
    if recipe.gradient_checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    model.train()
    teacher = _teacher(base, device, width) if replays else None
    for one in (model, teacher):
        if one is not None:
            fused.speed_up(one, device)
    learner = Learner(model, recipe, base, teacher)
    if recipe.rows and not all(0 <= row < learner.vocabulary for row in recipe.rows):
        raise ModelError(f"rows names a token that {base} does not have.", "Check the ids.")
    learner.own_masters(width, recipe.rows)
    if recipe.method == "full" and width != torch.float32:
        model.to(width)  # the frozen rest
    learner.publish()
    return learner


def check(base: Path) -> None:
    """Raises ModelError if the folder is not a whole model that we can train."""
    hint = "Name a folder with a model as Hugging Face saves it."
    for needed, missing in (
        ("config.json", "config.json"),
        ("tokenizer.json", "tokenizer.json"),
        ("*.safetensors", "weights in safetensors"),
    ):
        if not base.is_dir() or not any(base.glob(needed)):
            raise ModelError(f"{base} has no {missing}.", hint)
    try:
        config = json.loads((base / "config.json").read_text("utf-8"))
    except ValueError as error:
        raise ModelError(f"{base / 'config.json'} is damaged ({error}).", hint) from None
    for name in ("final_logit_softcapping", "logits_scaling"):
        if config.get(name):
            raise ModelError(f"Models with {name} cannot be trained here.", "Take another base.")


def _read(base: Path, device: torch.device, width: torch.dtype, **options: Any) -> Any:
    try:
        model: Any = AutoModelForCausalLM.from_pretrained(
            base, dtype=width, attn_implementation=attention.NAME, **options
        )
    except (OSError, ValueError, RuntimeError, KeyError, SafetensorError) as error:
        reason = str(error).split("\n")[0]
        raise ModelError(f"{base} cannot be loaded ({reason}).", "Fetch the model again.") from None
    head = model.get_output_embeddings()
    if head is None or getattr(head, "bias", None) is not None:
        raise ModelError(f"{base} has no plain output layer.", "Take another base.")
    return model if options else model.to(device)


def _full(recipe: Recipe, base: Path, device: torch.device, width: torch.dtype) -> Any:
    model = _read(base, device, torch.float32)
    model.get_input_embeddings().weight.requires_grad_(False)
    model.get_output_embeddings().weight.requires_grad_(False)
    return model


def _teacher(base: Path, device: torch.device, width: torch.dtype) -> Any:
    return _read(base, device, width).requires_grad_(False).eval()


def _lora(recipe: Recipe, base: Path, device: torch.device, width: torch.dtype) -> Any:
    model = _with_adapter(_read(base, device, width), recipe)
    from finetune import lora  # needs peft, which a full fine-tune does without

    lora.speed_up(model)
    return model


def _qlora(recipe: Recipe, base: Path, device: torch.device, width: torch.dtype) -> Any:
    try:
        import bitsandbytes  # noqa: F401
    except ImportError:
        raise TandemError("QLoRA needs bitsandbytes.", "pip install bitsandbytes") from None
    from transformers import BitsAndBytesConfig

    four_bit = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=width,
    )
    model = _read(base, device, width, quantization_config=four_bit, device_map={"": device})
    return _with_adapter(model, recipe)


def _with_adapter(model: Any, recipe: Recipe) -> Any:
    try:
        from peft import LoraConfig, get_peft_model
    except ImportError:
        raise TandemError("LoRA needs peft.", "pip install 'tandem-pair[tune]'") from None
    names = {name.rsplit(".", 1)[-1] for name, _ in model.named_modules()}
    if not names.issuperset(TARGETS):
        lacking = ", ".join(name for name in TARGETS if name not in names)
        raise ModelError(f"The base has no {lacking}.", "Take a model of the Llama family.")
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    config = LoraConfig(
        r=recipe.rank,
        lora_alpha=recipe.alpha,  # pyright: ignore[reportArgumentType]
        target_modules=list(TARGETS),
        lora_dropout=0.0,
        bias="none",
        task_type="CAUSAL_LM",
    )
    return get_peft_model(model, config)


def _collect_in(master: torch.Tensor) -> Callable[[torch.Tensor], None]:
    """A hook that adds a narrow gradient to the master's, and frees it."""

    def collect(live: torch.Tensor) -> None:
        assert live.grad is not None
        if master.grad is None:
            master.grad = live.grad.float()
        else:
            master.grad.add_(live.grad)
        live.grad = None

    return collect
