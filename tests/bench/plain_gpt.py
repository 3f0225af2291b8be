"""A GPT and its training loop as a person writes them with PyTorch's own modules: the peer of the product's trainer.

The network is the product's (`model/arithmetic/gpt.py`), with the same names of parameters, so that it also reads the
product's checkpoints. It stays as it is when the product's becomes faster.

Shapes: B batch, T positions, C width, H heads, D head width, V vocabulary.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.bench.shards import IGNORED, Shape

_EPSILON = 1e-6
_ROPE_THETA = 10_000.0


class Attention(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        width, self.num_heads, self.head_width = shape.d_model, shape.nhead, shape.head_width
        self.q_proj = nn.Linear(width, width, bias=False)
        self.k_proj = nn.Linear(width, width, bias=False)
        self.v_proj = nn.Linear(width, width, bias=False)
        self.o_proj = nn.Linear(width, width, bias=False)
        self.q_norm = nn.RMSNorm(self.head_width, eps=_EPSILON)
        self.k_norm = nn.RMSNorm(self.head_width, eps=_EPSILON)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        B, T, C = x.shape
        q = self.q_norm(self.q_proj(x).view(B, T, self.num_heads, self.head_width)).transpose(1, 2)  # (B, H, T, D)
        k = self.k_norm(self.k_proj(x).view(B, T, self.num_heads, self.head_width)).transpose(1, 2)  # (B, H, T, D)
        v = self.v_proj(x).view(B, T, self.num_heads, self.head_width).transpose(1, 2)  # (B, H, T, D)
        q, k = rotate(q, cos, sin).to(v.dtype), rotate(k, cos, sin).to(v.dtype)  # autocast leaves norms in float32
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)  # (B, H, T, D)
        return self.o_proj(y.transpose(1, 2).reshape(B, T, C))  # (B, T, C)


class FeedForward(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(shape.d_model, shape.feed_forward_width, bias=False)
        self.up_proj = nn.Linear(shape.d_model, shape.feed_forward_width, bias=False)
        self.down_proj = nn.Linear(shape.feed_forward_width, shape.d_model, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class Layer(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.input_layernorm = nn.RMSNorm(shape.d_model, eps=_EPSILON)
        self.self_attn = Attention(shape)
        self.post_attention_layernorm = nn.RMSNorm(shape.d_model, eps=_EPSILON)
        self.mlp = FeedForward(shape)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        x = x + self.self_attn(self.input_layernorm(x), cos, sin)
        return x + self.mlp(self.post_attention_layernorm(x))


class PlainGPT(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.embed_tokens = nn.Embedding(shape.vocab_size, shape.d_model)
        self.layers = nn.ModuleList(Layer(shape) for _ in range(shape.num_layers))
        self.norm = nn.RMSNorm(shape.d_model, eps=_EPSILON)
        cos, sin = _angles(shape.seq_len, shape.head_width)
        self.register_buffer("cos", cos, persistent=False)
        self.register_buffer("sin", sin, persistent=False)
        self._initialise()

    def forward(
        self, input_ids: Tensor, labels: Tensor | None = None, num_items_in_batch: Tensor | int | None = None
    ) -> dict[str, Tensor]:
        """The logits (B, T, V), or with `labels` (B, T), which are shifted already, the mean loss in nats a token.

        Names of arguments and results are those that Hugging Face's `Trainer` expects. It passes the number of targets
        of all micro-batches, by which the sum is then divided.
        """
        T = input_ids.shape[1]
        x = self.embed_tokens(input_ids)  # (B, T, C)
        for layer in self.layers:
            x = layer(x, self.cos[:T], self.sin[:T])
        logits = F.linear(self.norm(x), self.embed_tokens.weight)  # (B, T, V)
        if labels is None:
            return {"logits": logits}
        reduction = "mean" if num_items_in_batch is None else "sum"
        loss = F.cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=IGNORED, reduction=reduction)
        return {"loss": loss if num_items_in_batch is None else loss / num_items_in_batch}

    def _initialise(self) -> None:
        """As in the product: projections into the residual stream start at 0, tied embeddings at 1 / d_model."""
        for name, parameter in self.named_parameters():
            if parameter.dim() < 2:
                nn.init.ones_(parameter)
            elif name.endswith(("o_proj.weight", "down_proj.weight")):
                nn.init.zeros_(parameter)
            else:
                nn.init.normal_(parameter, std=1 / self.shape.d_model if name == "embed_tokens.weight" else 0.02)


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """x (B, H, T, D) with each pair (x[i], x[i + D/2]) turned by the angle of its position; cos and sin (T, D)."""
    half = x.shape[-1] // 2
    return x * cos + torch.cat([-x[..., half:], x[..., :half]], dim=-1) * sin


def _angles(length: int, width: int) -> tuple[Tensor, Tensor]:
    frequencies = _ROPE_THETA ** -(torch.arange(0, width, 2, dtype=torch.float64) / width)
    angles = torch.outer(torch.arange(length, dtype=torch.float64), frequencies).repeat(1, 2)  # (T, D)
    return angles.cos().float(), angles.sin().float()


@dataclass(frozen=True, slots=True, kw_only=True)
class PlainRecipe:
    """The settings of version 0.1: AdamW, linear warm-up, then cosine to a tenth of the peak rate."""

    lr: float = 3e-4
    weight_decay: float = 0.1
    warmup_steps: int = 20
    total_steps: int

    def rate(self, step: int) -> float:
        warmup = min(self.warmup_steps, self.total_steps // 10)
        if step < warmup:
            return self.lr * (step + 1) / warmup
        progress = (step - warmup) / max(1, self.total_steps - warmup)
        return self.lr * (0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi * min(1.0, progress))))


def plain_loop(model: nn.Module, batches: Iterator[tuple[Tensor, Tensor]], recipe: PlainRecipe) -> Iterator[float]:
    """Train in float32 on `batches` of inputs and targets (B, T); yields the mean loss of each step."""
    matrices = [parameter for parameter in model.parameters() if parameter.dim() >= 2]
    vectors = [parameter for parameter in model.parameters() if parameter.dim() < 2]
    groups = [{"params": matrices}, {"params": vectors, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=recipe.lr, betas=(0.9, 0.95), weight_decay=recipe.weight_decay)
    for step, (inputs, targets) in enumerate(batches):
        model.train()
        loss = model(inputs, targets)["loss"]
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for group in optimizer.param_groups:
            group["lr"] = recipe.rate(step)
        optimizer.step()
        optimizer.zero_grad()
        yield loss.item()
