"""Weighted losses straight from hidden states: the logits of a window never all exist.

With a vocabulary of 49,152 the logits of 2,048 positions are 400 MB in float32, and writing and
reading them back costs more than the head's matrix product on a CPU. So positions are taken in
chunks; a chunk's gradient is made at once, in place of its logits. On a GPU each chunk's passes
are compiled into two (`torch.compile`), where there is triton.
"""

import importlib.util
from collections.abc import Callable
from functools import cache

import torch
import torch.nn.functional as F

# Positions: 50 MB of float32 logits for the shipped model's vocabulary; a GPU wants more at once.
CHUNK, CUDA_CHUNK = 256, 8192

Piece = tuple[torch.Tensor, torch.Tensor]


def own_piece(logits: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor) -> Piece:
    """Of logits [n, vocabulary] the losses [n] in float32, and the gradient of their weighted sum
    in the logits' own width. Overwrites logits that are float32."""
    wide = logits.float()
    total = wide.logsumexp(-1)
    rows = torch.arange(len(wide), device=wide.device)
    losses = total - wide[rows, targets]
    gradient = wide.sub_(total[:, None]).exp_()
    gradient[rows, targets] -= 1.0
    return losses, gradient.mul_(weights[:, None]).to(logits.dtype)


def fused_own_piece(logits: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor) -> Piece:
    """`own_piece` as a compiler likes it: nothing in place, the target found by comparing."""
    wide = logits.float()
    total = wide.logsumexp(-1)
    losses = total - wide.gather(1, targets[:, None])[:, 0]
    own = torch.arange(wide.shape[1], device=wide.device)[None] == targets[:, None]
    share = (wide - total[:, None]).exp()
    gradient = torch.where(own, share - 1.0, share) * weights[:, None]
    return losses, gradient.to(logits.dtype)


def taught_piece(logits: torch.Tensor, expected: torch.Tensor, weights: torch.Tensor) -> Piece:
    """As `own_piece`, of the divergence from a teacher's logits; as it stands good for a compiler."""
    found, wanted = logits.float().log_softmax(-1), expected.float().log_softmax(-1)
    share = wanted.exp()
    gradient = (found.exp() - share) * weights[:, None]
    return (share * (wanted - found)).sum(-1), gradient.to(logits.dtype)


@cache
def _pieces(fused: bool) -> tuple[Callable[..., Piece], Callable[..., Piece]]:
    if not fused or importlib.util.find_spec("triton") is None:
        return own_piece, taught_piece
    return (
        torch.compile(fused_own_piece, dynamic=True),
        torch.compile(taught_piece, dynamic=True),
    )


class _LinearLoss(torch.autograd.Function):
    @staticmethod
    def forward(ctx, hidden, weight, targets, weights, teacher):
        losses = torch.empty(len(hidden), dtype=torch.float32, device=hidden.device)
        grad_hidden = torch.empty_like(hidden)
        grad_weight = torch.zeros_like(weight) if weight.requires_grad else None
        chunk = CUDA_CHUNK if hidden.is_cuda else CHUNK
        own, taught = _pieces(hidden.is_cuda)
        for at in range(0, len(hidden), chunk):
            piece = slice(at, at + chunk)
            logits = F.linear(hidden[piece], weight)
            if teacher is None:
                losses[piece], narrow = own(logits, targets[piece], weights[piece])
            else:
                expected = F.linear(teacher[0][piece], teacher[1])
                losses[piece], narrow = taught(logits, expected, weights[piece])
            del logits
            grad_hidden[piece] = narrow @ weight
            if grad_weight is not None:
                grad_weight.addmm_(narrow.T, hidden[piece])
        ctx.save_for_backward(grad_hidden, grad_weight)
        ctx.mark_non_differentiable(losses)
        return (losses * weights).sum(), losses

    @staticmethod
    def backward(ctx, *gradients):
        grad_hidden, grad_weight = ctx.saved_tensors
        gradient = gradients[0]
        if grad_weight is not None:
            grad_weight = grad_weight * gradient.to(grad_weight.dtype)
        return grad_hidden * gradient.to(grad_hidden.dtype), grad_weight, None, None, None


def linear_cross_entropy(
    hidden: torch.Tensor, weight: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Sum of weighted losses, and each position's own loss in nats (no gradient) [n].

    hidden [n, d], weight [vocabulary, d], targets [n] int64, weights [n] float32.
    """
    return _LinearLoss.apply(hidden, weight, targets, weights, None)


def linear_divergence(
    hidden: torch.Tensor,
    weight: torch.Tensor,
    teacher: tuple[torch.Tensor, torch.Tensor],
    weights: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor]:
    """The same of the Kullback-Leibler divergence from a teacher's distributions (Hinton et al.
    2015, arXiv 1503.02531, at temperature 1); `teacher` is its hidden [n, d] and weight."""
    return _LinearLoss.apply(hidden, weight, None, weights, teacher)
