"""Weighted losses straight from hidden states: the logits of a window never all exist.

With a vocabulary of 49,152 the logits of 2,048 positions are 400 MB in float32, and writing and
reading them back costs more than the head's matrix product on a CPU. So positions are taken in
chunks; a chunk's gradient is made at once, in place of its logits.
"""

import torch
import torch.nn.functional as F

# Positions: 50 MB of float32 logits for the shipped model's vocabulary; a GPU wants more at once.
CHUNK, CUDA_CHUNK = 256, 4096


class _LinearLoss(torch.autograd.Function):
    @staticmethod
    def forward(ctx, hidden, weight, targets, weights, teacher):
        losses = torch.empty(len(hidden), dtype=torch.float32, device=hidden.device)
        grad_hidden = torch.empty_like(hidden)
        grad_weight = torch.zeros_like(weight) if weight.requires_grad else None
        chunk = CUDA_CHUNK if hidden.is_cuda else CHUNK
        for at in range(0, len(hidden), chunk):
            piece = slice(at, at + chunk)
            logits = F.linear(hidden[piece], weight).float()
            total = logits.logsumexp(-1)
            if teacher is None:
                rows = torch.arange(len(logits), device=logits.device)
                losses[piece] = total - logits[rows, targets[piece]]
                gradient = logits.sub_(total[:, None]).exp_()
                gradient[rows, targets[piece]] -= 1.0
            else:
                found = logits.sub_(total[:, None])
                expected = F.linear(teacher[0][piece], teacher[1]).float().log_softmax(-1)
                share = expected.exp()
                losses[piece] = (share * expected.sub_(found)).sum(-1)
                gradient = found.exp_().sub_(share)
            narrow = gradient.mul_(weights[piece, None]).to(hidden.dtype)
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
