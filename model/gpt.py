"""A decoder-only transformer in the Qwen3 layout, so that what is trained here can be used anywhere.

RMSNorm (Zhang & Sennrich 2019), per-head QK-norm (Henry et al. 2020), rotary positions (Su et al. 2021), SwiGLU
(Shazeer 2020), no biases, tied embeddings. Parameter names are those of Hugging Face's Qwen3.

Shapes: B batch, T positions, S positions with those in the cache, C width, H heads, D width of a head, V vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.config import ModelConfig

IGNORED = -100
ROPE_THETA = 10_000.0
_EPSILON = 1e-6


@dataclass(slots=True)
class Cache:
    """Keys and values of the positions seen so far, for each layer: (B, H, S, D)."""

    layers: list[tuple[Tensor, Tensor] | None]

    @property
    def length(self) -> int:
        first = self.layers[0]
        return 0 if first is None else first[0].shape[2]


class Attention(nn.Module):
    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        width, self.num_heads, self.head_width = config.d_model, config.nhead, config.head_width
        self.q_proj = nn.Linear(width, width, bias=False)
        self.k_proj = nn.Linear(width, width, bias=False)
        self.v_proj = nn.Linear(width, width, bias=False)
        self.o_proj = nn.Linear(width, width, bias=False)
        self.q_norm = nn.RMSNorm(self.head_width, eps=_EPSILON)
        self.k_norm = nn.RMSNorm(self.head_width, eps=_EPSILON)
        self.dropout = config.dropout

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor, cache: Cache | None, layer: int) -> Tensor:
        B, T, C = x.shape
        q = self.q_norm(self.q_proj(x).view(B, T, self.num_heads, self.head_width)).transpose(1, 2)  # (B, H, T, D)
        k = self.k_norm(self.k_proj(x).view(B, T, self.num_heads, self.head_width)).transpose(1, 2)  # (B, H, T, D)
        v = self.v_proj(x).view(B, T, self.num_heads, self.head_width).transpose(1, 2)  # (B, H, T, D)
        q, k = rotate(q, cos, sin), rotate(k, cos, sin)
        mask = None
        if cache is not None:
            seen = cache.layers[layer]
            if seen is not None:
                k, v = torch.cat([seen[0], k], dim=2), torch.cat([seen[1], v], dim=2)  # (B, H, S, D)
                if T > 1:
                    S = k.shape[2]
                    mask = torch.ones(T, S, dtype=torch.bool, device=x.device).tril(S - T)  # (T, S)
            cache.layers[layer] = (k, v)
        y = F.scaled_dot_product_attention(
            q,
            k,
            v,
            attn_mask=mask,
            dropout_p=self.dropout if self.training else 0.0,
            is_causal=mask is None and T > 1,
        )  # (B, H, T, D)
        out: Tensor = self.o_proj(y.transpose(1, 2).reshape(B, T, C))  # (B, T, C)
        return out


class FeedForward(nn.Module):
    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(config.d_model, config.feed_forward_width, bias=False)
        self.up_proj = nn.Linear(config.d_model, config.feed_forward_width, bias=False)
        self.down_proj = nn.Linear(config.feed_forward_width, config.d_model, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))  # (B, T, C)
        return out


class Layer(nn.Module):
    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.input_layernorm = nn.RMSNorm(config.d_model, eps=_EPSILON)
        self.self_attn = Attention(config)
        self.post_attention_layernorm = nn.RMSNorm(config.d_model, eps=_EPSILON)
        self.mlp = FeedForward(config)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor, cache: Cache | None, layer: int) -> Tensor:
        x = x + self.dropout(self.self_attn(self.input_layernorm(x), cos, sin, cache, layer))
        out: Tensor = x + self.dropout(self.mlp(self.post_attention_layernorm(x)))  # (B, T, C)
        return out


class GPT(nn.Module):
    def __init__(self, config: ModelConfig, vocab_size: int) -> None:
        super().__init__()
        self.config, self.vocab_size = config, vocab_size
        self.embed_tokens = nn.Embedding(vocab_size, config.d_model)
        self.dropout = nn.Dropout(config.dropout)
        self.layers = nn.ModuleList(Layer(config) for _ in range(config.num_layers))
        self.norm = nn.RMSNorm(config.d_model, eps=_EPSILON)
        self.lm_head = None if config.tie_embeddings else nn.Linear(config.d_model, vocab_size, bias=False)
        self._initialise()

    def forward(self, tokens: Tensor, targets: Tensor | None = None, cache: Cache | None = None) -> Tensor:
        """Logits (B, T, V); with targets (B, T), the *sum* of their losses in nats, IGNORED ones left out."""
        start = cache.length if cache else 0
        cos, sin = self._angles(start, tokens.shape[1], tokens.device)
        x = self.dropout(self.embed_tokens(tokens))  # (B, T, C)
        for number, layer in enumerate(self.layers):
            x = layer(x, cos, sin, cache, number)
        head = self.embed_tokens.weight if self.lm_head is None else self.lm_head.weight  # (V, C)
        logits = F.linear(self.norm(x), head)  # (B, T, V)
        if targets is None:
            return logits
        return F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=IGNORED, reduction="sum")

    def new_cache(self) -> Cache:
        return Cache(layers=[None] * self.config.num_layers)

    def _angles(self, start: int, length: int, device: torch.device) -> tuple[Tensor, Tensor]:
        D = self.config.head_width
        dtype = self.norm.weight.dtype
        turns = ROPE_THETA ** -(torch.arange(0, D, 2, device=device, dtype=torch.float64) / D)  # (D/2,)
        places = torch.arange(start, start + length, device=device, dtype=torch.float64)  # (T,)
        angles = torch.outer(places, turns).repeat(1, 2)  # (T, D)
        return angles.cos().to(dtype), angles.sin().to(dtype)

    def _initialise(self) -> None:
        """Normal 0.02; what a layer adds to the stream begins at zero, so that depth costs nothing at first. Tied
        embeddings are 1 / d_model: a token's logit for itself begins at d_model x std, which 0.02 would make 10."""
        for name, parameter in self.named_parameters():
            if parameter.dim() < 2:
                nn.init.ones_(parameter)
            elif name.endswith(("o_proj.weight", "down_proj.weight")):
                nn.init.zeros_(parameter)
            else:
                is_tied = self.lm_head is None and name == "embed_tokens.weight"
                nn.init.normal_(parameter, std=1 / self.config.d_model if is_tied else 0.02)


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary positions, halves turned against each other. x (B, H, T, D); cos, sin (T, D)."""
    half = x.shape[-1] // 2
    return x * cos + torch.cat([-x[..., half:], x[..., :half]], dim=-1) * sin
