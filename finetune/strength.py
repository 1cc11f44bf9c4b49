"""How much of what a run learned is kept: the straight line between its start and its end.

Training on code takes something from chat. A point before the end of that line keeps nearly all of
the gain and gives back more than its share of what was lost (Wortsman et al., "Robust fine-tuning
of zero-shot models", 2022, interpolate in weights in the same way). Between an earlier end and a
later one it also averages out what small steps left of noise.
"""

from collections.abc import Mapping
from dataclasses import replace

from torch import Tensor

from finetune.compress import EMBEDDING, Compressed


def scaled(
    base: Mapping[str, Tensor], tuned: Mapping[str, Tensor], strength: float
) -> dict[str, Tensor]:
    """`base` + `strength` (`tuned` - `base`), computed in float32, in the widths of `tuned`.

    Embeddings stay as tuned: only the rows of our own tokens were trained, which a base knows
    nothing of. Raises ValueError if `strength` is not above 0 and at most 1.
    """
    _demand(strength)
    return {
        name: _between(base.get(name), tensor, name, strength) for name, tensor in tuned.items()
    }


def scaled_difference(made: Compressed, strength: float) -> Compressed:
    """The same for a difference that is compressed already. Raises ValueError likewise."""
    _demand(strength)
    factors = {
        name: replace(part, scales=part.scales * strength) for name, part in made.factors.items()
    }
    dense = {name: added * strength for name, added in made.dense.items()}
    return replace(made, factors=factors, dense=dense)


def _demand(strength: float) -> None:
    if not 0 < strength <= 1:
        raise ValueError(f"the strength must be above 0 and at most 1, not {strength:g}")


def _between(base: Tensor | None, tuned: Tensor, name: str, strength: float) -> Tensor:
    if base is None or name == EMBEDDING:
        return tuned
    start = base.float()
    return (start + strength * (tuned.float() - start)).to(tuned.dtype)
