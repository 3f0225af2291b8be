"""The parts of a training step in which eager PyTorch on a CPU spends its time on memory instead of arithmetic.

Each is an autograd function with the same mathematics as the usual modules, and fewer passes over memory. Inputs and
outputs have the precision of the matrix products (such as bfloat16); parameters and their gradients keep their own,
float32. Statistics and sums are at least in float32.

Shapes: B batch, T positions, C model width, H heads, D head width, F feed-forward width, V vocabulary, N positions of a
whole batch.
"""

from __future__ import annotations

from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import Function

MAX_ATTENTION_POSITIONS = 512  # all T * T attention weights are kept for the backward pass
_LOSS_ROWS = 1024  # logits at a time: fewer make the products slower, more leave the processor's cache


def project(x: Tensor, *weights: Tensor) -> Tensor:
    """x (B, T, C) times all `weights` (outputs, C), side by side in the last dimension.

    One matrix product reads x once; its gradient needs one product too, and no sum over the layers.
    """
    out: Tensor = _Project.apply(x, *weights)  # type: ignore[no-untyped-call]
    return out


def rms_norm(x: Tensor, weight: Tensor, epsilon: float) -> Tensor:
    """RMSNorm over the last dimension (C)."""
    out: Tensor = _RMSNorm.apply(x, weight, epsilon)  # type: ignore[no-untyped-call]
    return out


def gated(x: Tensor) -> Tensor:
    """SwiGLU's silu(gate) * up of x (B, T, 2 F), which holds both side by side: (B, T, F)."""
    out: Tensor = _Gated.apply(x)  # type: ignore[no-untyped-call]
    return out


def attention(
    qkv: Tensor, q_weight: Tensor, k_weight: Tensor, cos: Tensor, sin: Tensor, mask: Tensor, epsilon: float
) -> Tensor:
    """Attention of qkv (B, T, 3 C), whose queries and keys are normalised (weights (D,)) and rotated: (B, T, C).

    cos and sin are (T, D/2), `mask` (T, T) is added to the scores. For a few hundred positions two batched products are
    three times as fast on a CPU as torch's flash attention.
    """
    out: Tensor = _Attention.apply(qkv, q_weight, k_weight, cos, sin, mask, epsilon)  # type: ignore[no-untyped-call]
    return out


def summed_loss(x: Tensor, weight: Tensor, targets: Tensor, ignored: int) -> Tensor:
    """The sum of the cross-entropies of x (N, C) @ weight.T (C, V) against `targets` (N,), in nats, without `ignored`.

    A part of the rows at a time: the logits (N, V) never exist as a whole, and their gradient is made at once.
    """
    needs_gradient = torch.is_grad_enabled() and (x.requires_grad or weight.requires_grad)
    out: Tensor = _SummedLoss.apply(x, weight, targets, ignored, needs_gradient)  # type: ignore[no-untyped-call]
    return out


class _Context(Protocol):
    """What torch passes to an autograd function: it carries values from the forward to the backward pass."""

    saved_tensors: tuple[Tensor, ...]
    outputs: list[int]
    weight_dtype: torch.dtype
    gradients: tuple[Tensor, Tensor]

    def save_for_backward(self, *tensors: Tensor) -> None: ...


class _Project(Function):
    @staticmethod
    def forward(ctx: _Context, x: Tensor, *weights: Tensor) -> Tensor:
        low = [weight.to(x.dtype) for weight in weights]
        matrix = torch.cat(low) if len(low) > 1 else low[0]  # (all outputs, C)
        ctx.save_for_backward(x, matrix)
        ctx.outputs, ctx.weight_dtype = [len(weight) for weight in weights], weights[0].dtype
        return F.linear(x, matrix)

    @staticmethod
    def backward(ctx: _Context, gradient: Tensor) -> tuple[Tensor, ...]:
        x, matrix = ctx.saved_tensors
        flat = gradient.flatten(0, -2)  # (N, all outputs)
        x_gradient = (flat @ matrix).view_as(x)
        weight_gradient = (flat.T @ x.flatten(0, -2)).to(ctx.weight_dtype)  # (all outputs, C)
        return x_gradient, *torch.split(weight_gradient, ctx.outputs)


class _RMSNorm(Function):
    @staticmethod
    def forward(ctx: _Context, x: Tensor, weight: Tensor, epsilon: float) -> Tensor:
        low, scale = weight.to(x.dtype), _scale(x, epsilon)
        normal = x * scale
        ctx.save_for_backward(normal, scale, low)
        return normal * low

    @staticmethod
    def backward(ctx: _Context, gradient: Tensor) -> tuple[Tensor, Tensor, None]:
        normal, scale, low = ctx.saved_tensors
        weight_gradient = (gradient * normal).flatten(0, -2).sum(0, dtype=_wide(gradient.dtype))  # (C,)
        return _unscale(gradient * low, normal, scale), weight_gradient, None


class _Gated(Function):
    @staticmethod
    def forward(ctx: _Context, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        gate, up = x.chunk(2, dim=-1)  # (B, T, F) each
        return F.silu(gate).mul_(up)

    @staticmethod
    def backward(ctx: _Context, gradient: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        gate, up = x.chunk(2, dim=-1)
        out = torch.empty_like(x)
        gate_gradient, up_gradient = out.chunk(2, dim=-1)
        torch.mul(gradient, F.silu(gate), out=up_gradient)
        torch.ops.aten.silu_backward.grad_input(gradient * up, gate, grad_input=gate_gradient)
        return out


class _Attention(Function):
    @staticmethod
    def forward(
        ctx: _Context,
        qkv: Tensor,
        q_weight: Tensor,
        k_weight: Tensor,
        cos: Tensor,
        sin: Tensor,
        mask: Tensor,
        epsilon: float,
    ) -> Tensor:
        (B, T), D = qkv.shape[:2], len(q_weight)
        H = qkv.shape[2] // (3 * D)
        x = qkv.view(B, T, 3, H, D)
        weights = torch.stack([q_weight, k_weight]).to(qkv.dtype).view(2, 1, D)
        angles = cos.view(1, T, 1, 1, -1), sin.view(1, T, 1, 1, -1)
        scale = _scale(x[:, :, :2], epsilon)  # (B, T, 2, H, 1)
        normal = x[:, :, :2] * scale  # (B, T, 2, H, D)
        rotated = qkv.new_empty(2, B, H, T, D)
        _rotate(normal * weights, *angles, out=rotated.permute(1, 3, 0, 2, 4))
        q, k = rotated.view(2, B * H, T, D)
        v = _by_head(x[:, :, 2])  # (B * H, T, D)
        scores = torch.baddbmm(mask, q, k.mT, alpha=D**-0.5)  # (B * H, T, T)
        probabilities = torch.softmax(scores, dim=-1)
        ctx.save_for_backward(normal, scale, weights, *angles, rotated, v, probabilities)
        return torch.bmm(probabilities, v).view(B, H, T, D).transpose(1, 2).reshape(B, T, H * D)

    @staticmethod
    def backward(ctx: _Context, gradient: Tensor) -> tuple[Tensor | None, ...]:
        normal, scale, weights, cos, sin, rotated, v, probabilities = ctx.saved_tensors
        B, T, _, H, D = normal.shape
        q, k = rotated.view(2, B * H, T, D)
        y_gradient = _by_head(gradient.view(B, T, H, D))
        v_gradient = torch.bmm(probabilities.mT, y_gradient)
        scores_gradient = torch._softmax_backward_data(
            torch.bmm(y_gradient, v.mT), probabilities, -1, probabilities.dtype
        )
        rotated_gradient = torch.empty_like(rotated)
        q_gradient, k_gradient = rotated_gradient.view(2, B * H, T, D)
        torch.bmm(scores_gradient, k, out=q_gradient)
        torch.bmm(scores_gradient.mT, q, out=k_gradient)
        rotated_gradient.mul_(D**-0.5)
        inner = torch.empty_like(normal)  # of the normalised and weighted queries and keys
        _rotate(rotated_gradient.permute(1, 3, 0, 2, 4), cos, -sin, out=inner)
        by_column = (inner * normal).view(B * T, 2 * H * D).sum(0, dtype=_wide(gradient.dtype))  # at once it is slow
        weight_gradients = by_column.view(2, H, D).sum(1)  # (2, D)
        out = gradient.new_empty(B, T, 3, H, D)
        out[:, :, :2] = _unscale(inner.mul_(weights), normal, scale)
        out[:, :, 2] = v_gradient.view(B, H, T, D).transpose(1, 2)
        return out.view(B, T, 3 * H * D), weight_gradients[0], weight_gradients[1], None, None, None, None


class _SummedLoss(Function):
    @staticmethod
    def forward(
        ctx: _Context, x: Tensor, weight: Tensor, targets: Tensor, ignored: int, needs_gradient: bool
    ) -> Tensor:
        matrix = weight.to(x.dtype)  # (V, C)
        wide = _wide(x.dtype)
        loss = x.new_zeros((), dtype=wide)
        x_gradient = torch.empty_like(x) if needs_gradient else None
        weight_gradient = None
        for start in range(0, len(x), _LOSS_ROWS):
            rows, wanted = x[start : start + _LOSS_ROWS], targets[start : start + _LOSS_ROWS]
            is_counted = wanted != ignored  # (rows,)
            places = torch.arange(len(rows), device=x.device), wanted.clamp_min(0)
            probabilities = torch.softmax(rows @ matrix.T, dim=1)  # (rows, V)
            # A probability of zero would be an infinite loss; the smallest normal number of the dtype is not.
            likelihood = probabilities[places]  # (rows,)
            loss -= (likelihood.to(wide).clamp_min(torch.finfo(x.dtype).tiny).log_() * is_counted).sum()
            if x_gradient is not None:
                probabilities[places] = likelihood - 1  # now they are the gradient of the logits
                part = x_gradient[start : start + _LOSS_ROWS]
                torch.mm(probabilities, matrix, out=part)
                part.mul_(is_counted.unsqueeze(1))
                weight_part = probabilities.T @ (rows * is_counted.unsqueeze(1))  # (V, C)
                weight_gradient = weight_part.to(wide) if weight_gradient is None else weight_gradient.add_(weight_part)
        if x_gradient is not None:
            ctx.gradients = x_gradient, torch.zeros_like(weight) if weight_gradient is None else weight_gradient
        return loss

    @staticmethod
    def backward(ctx: _Context, gradient: Tensor) -> tuple[Tensor, Tensor, None, None, None]:
        x_gradient, weight_gradient = ctx.gradients
        del ctx.gradients  # they are scaled in place: a second backward pass fails rather than scale them again
        return x_gradient.mul_(gradient.to(x_gradient.dtype)), weight_gradient.mul_(gradient), None, None, None


def _wide(dtype: torch.dtype) -> torch.dtype:
    """The precision of statistics and sums."""
    return torch.promote_types(dtype, torch.float32)


def _scale(x: Tensor, epsilon: float) -> Tensor:
    """1 / the root mean square over the last dimension, which stays with size 1."""
    norm: Tensor = torch.linalg.vector_norm(x, dim=-1, keepdim=True, dtype=_wide(x.dtype))
    return norm.square_().div_(x.shape[-1]).add_(epsilon).rsqrt_().to(x.dtype)


def _unscale(gradient: Tensor, normal: Tensor, scale: Tensor) -> Tensor:
    """The gradient of x, where normal = x * scale and `gradient` is that of `normal`. Overwrites `gradient`."""
    mean = torch.linalg.vecdot(gradient, normal).unsqueeze(-1) / normal.shape[-1]
    out: Tensor = gradient.sub_(normal * mean).mul_(scale)
    return out


def _rotate(x: Tensor, cos: Tensor, sin: Tensor, out: Tensor) -> None:
    """Turn each pair (x[i], x[i + D/2]) by the angle of its position. With -sin it turns back: that is the gradient."""
    half = x.shape[-1] // 2
    a, b = x[..., :half], x[..., half:]
    torch.addcmul(a * cos, b, sin, value=-1, out=out[..., :half])
    torch.addcmul(b * cos, a, sin, out=out[..., half:])


def _by_head(x: Tensor) -> Tensor:
    """x (B, T, H, D) as (B * H, T, D)."""
    B, T, H, D = x.shape
    return x.transpose(1, 2).reshape(B * H, T, D)
