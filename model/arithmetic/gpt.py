"""The GPT: a decoder-only transformer.

- RMSNorm before each sublayer (Zhang & Sennrich 2019), and on queries and keys of each head (Henry et al. 2020)
- rotary position embeddings (Su et al. 2021)
- SwiGLU in the feed-forward sublayer (Shazeer 2020)
- no biases; the output projection shares the token embedding's weights unless the configuration says otherwise

The layout and the parameter names are those of Qwen3 in Hugging Face's transformers, so other tools can load a
checkpoint.

Shapes: B batch, T positions of this call, S cached positions and these, C model width, H heads, D head width,
V vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.arithmetic import kernels
from model.config import ModelConfig

IGNORED = -100  # a target that adds nothing to the loss: cross_entropy's own default
ROPE_THETA = 10_000.0
_EPSILON = 1e-6


@dataclass(slots=True)
class Cache:
    """The keys and values of all positions so far, one pair (B, H, S, D) for each layer; None before the first call."""

    layers: list[tuple[Tensor, Tensor] | None]

    @property
    def length(self) -> int:
        """The number of cached positions."""
        first = self.layers[0]
        return 0 if first is None else first[0].shape[2]


@dataclass(frozen=True, slots=True)
class _Positions:
    """What a row of T positions needs, in one precision: cosines and sines (T, D/2), and the causal mask (T, T)."""

    cos: Tensor
    sin: Tensor
    mask: Tensor


class Attention(nn.Module):
    """Causal self-attention with rotary positions and normalised queries and keys."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        width, self.num_heads, self.head_width = config.d_model, config.nhead, config.head_width
        self.q_proj = nn.Linear(width, width, bias=False)
        self.k_proj = nn.Linear(width, width, bias=False)
        self.v_proj = nn.Linear(width, width, bias=False)
        self.o_proj = nn.Linear(width, width, bias=False)
        self.q_norm = nn.RMSNorm(self.head_width, eps=_EPSILON)
        self.k_norm = nn.RMSNorm(self.head_width, eps=_EPSILON)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor, cache: Cache | None, layer: int) -> Tensor:
        """x (B, T, C), cos and sin (T, D) -> (B, T, C). Appends to `cache` under the number of this `layer`."""
        B, T, C = x.shape
        q = self.q_norm(self.q_proj(x).view(B, T, self.num_heads, self.head_width)).transpose(1, 2)  # (B, H, T, D)
        k = self.k_norm(self.k_proj(x).view(B, T, self.num_heads, self.head_width)).transpose(1, 2)  # (B, H, T, D)
        v = self.v_proj(x).view(B, T, self.num_heads, self.head_width).transpose(1, 2)  # (B, H, T, D)
        q, k = rotate(q, cos, sin), rotate(k, cos, sin)  # (B, H, T, D) each
        mask = None
        if cache is not None:
            earlier = cache.layers[layer]
            if earlier is not None:
                k, v = torch.cat([earlier[0], k], dim=2), torch.cat([earlier[1], v], dim=2)  # (B, H, S, D)
                if T > 1:  # is_causal would align the mask to the first cached position, not to the last
                    S = k.shape[2]
                    mask = torch.ones(T, S, dtype=torch.bool, device=x.device).tril(S - T)  # (T, S)
            cache.layers[layer] = (k, v)
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=mask is None and T > 1)  # (B, H, T, D)
        out: Tensor = self.o_proj(y.transpose(1, 2).reshape(B, T, C))  # (B, T, C)
        return out

    def forward_fused(self, x: Tensor, at: _Positions) -> Tensor:
        """The same by kernels: x (B, T, C) -> (B, T, C)."""
        qkv = kernels.project(x, self.q_proj.weight, self.k_proj.weight, self.v_proj.weight)  # (B, T, 3 C)
        y = kernels.attention(qkv, self.q_norm.weight, self.k_norm.weight, at.cos, at.sin, at.mask, _EPSILON)
        return kernels.project(y, self.o_proj.weight)  # (B, T, C)


class FeedForward(nn.Module):
    """SwiGLU: down(silu(gate(x)) * up(x))."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(config.d_model, config.feed_forward_width, bias=False)
        self.up_proj = nn.Linear(config.d_model, config.feed_forward_width, bias=False)
        self.down_proj = nn.Linear(config.feed_forward_width, config.d_model, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """x (B, T, C) -> (B, T, C)."""
        out: Tensor = self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))  # (B, T, C)
        return out

    def forward_fused(self, x: Tensor) -> Tensor:
        """The same by kernels: x (B, T, C) -> (B, T, C)."""
        hidden = kernels.gated(kernels.project(x, self.gate_proj.weight, self.up_proj.weight))  # (B, T, F)
        return kernels.project(hidden, self.down_proj.weight)  # (B, T, C)


class Layer(nn.Module):
    """One transformer block: x + attention(norm(x)), then x + feed_forward(norm(x))."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.input_layernorm = nn.RMSNorm(config.d_model, eps=_EPSILON)
        self.self_attn = Attention(config)
        self.post_attention_layernorm = nn.RMSNorm(config.d_model, eps=_EPSILON)
        self.mlp = FeedForward(config)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor, cache: Cache | None, layer: int) -> Tensor:
        """x (B, T, C), cos and sin (T, D) -> (B, T, C)."""
        x = x + self.dropout(self.self_attn(self.input_layernorm(x), cos, sin, cache, layer))  # (B, T, C)
        out: Tensor = x + self.dropout(self.mlp(self.post_attention_layernorm(x)))  # (B, T, C)
        return out

    def forward_fused(self, x: Tensor, at: _Positions) -> Tensor:
        """The same by kernels: x (B, T, C) -> (B, T, C)."""
        normal = kernels.rms_norm(x, self.input_layernorm.weight, _EPSILON)  # (B, T, C)
        x = x + self.dropout(self.self_attn.forward_fused(normal, at))  # (B, T, C)
        normal = kernels.rms_norm(x, self.post_attention_layernorm.weight, _EPSILON)  # (B, T, C)
        out: Tensor = x + self.dropout(self.mlp.forward_fused(normal))  # (B, T, C)
        return out


class GPT(nn.Module):
    """The whole network, from token ids to logits or to the loss."""

    def __init__(self, config: ModelConfig, vocab_size: int) -> None:
        super().__init__()
        self.config, self.vocab_size = config, vocab_size
        # The precision of activations and matrix products while the loss is computed; None: that of the weights.
        self.compute_dtype: torch.dtype | None = None
        self.is_compiled = False
        self.embed_tokens = nn.Embedding(vocab_size, config.d_model)
        self.dropout = nn.Dropout(config.dropout)
        self.layers = nn.ModuleList(Layer(config) for _ in range(config.num_layers))
        self.norm = nn.RMSNorm(config.d_model, eps=_EPSILON)
        self.lm_head = None if config.tie_embeddings else nn.Linear(config.d_model, vocab_size, bias=False)
        self._tables: dict[tuple[torch.dtype, torch.device], tuple[Tensor, Tensor]] = {}  # see `_angles`
        self._positions: dict[tuple[int, torch.dtype, torch.device], _Positions] = {}
        self._initialise()

    def forward(self, tokens: Tensor, targets: Tensor | None = None, cache: Cache | None = None) -> Tensor:
        """The logits (B, T, V) of `tokens` (B, T). With `targets` (B, T): the *sum* of their losses in nats, a scalar.

        The sum, not the mean, because members of a run have unequal numbers of targets: they divide by the total.
        Targets that are IGNORED do not count. With a `cache`, `tokens` follow the cached positions and are added to it.
        """
        if targets is None:
            return F.linear(self._last_hidden(tokens, cache), self._head)  # (B, T, V)
        T, device = tokens.shape[1], tokens.device
        if device.type == "cpu" and T <= kernels.MAX_ATTENTION_POSITIONS:
            x = self._last_hidden_fused(tokens)  # (B, T, C)
        else:
            with torch.autocast(device.type, self._dtype, enabled=self._dtype == torch.bfloat16):
                x = self._last_hidden(tokens, None).to(self._dtype)  # (B, T, C)
        return kernels.summed_loss(x.flatten(0, 1), self._head, targets.flatten(), IGNORED)

    def _last_hidden(self, tokens: Tensor, cache: Cache | None) -> Tensor:
        """What the output projection reads: (B, T, C)."""
        start = cache.length if cache else 0
        cos, sin = self._angles(start, tokens.shape[1], tokens.device)
        x = self.dropout(self.embed_tokens(tokens))  # (B, T, C)
        for number, layer in enumerate(self.layers):
            x = layer(x, cos, sin, cache, number)  # (B, T, C)
        out: Tensor = self.norm(x)  # (B, T, C)
        return out

    def _last_hidden_fused(self, tokens: Tensor) -> Tensor:
        """The same by kernels, in `compute_dtype`."""
        at = self._positions_of(tokens.shape[1], tokens.device)
        x = self.dropout(self.embed_tokens(tokens).to(self._dtype))  # (B, T, C)
        for layer in self.layers:
            assert isinstance(layer, Layer)
            x = layer.forward_fused(x, at)  # (B, T, C)
        return kernels.rms_norm(x, self.norm.weight, _EPSILON)  # (B, T, C)

    @property
    def _dtype(self) -> torch.dtype:
        return self.compute_dtype or self.norm.weight.dtype

    @property
    def _head(self) -> Tensor:
        """The output projection (V, C)."""
        return self.embed_tokens.weight if self.lm_head is None else self.lm_head.weight

    def compile_layers(self) -> None:
        """Compile the layers when they are first called; all share one compiled form. For accelerators."""
        for layer in self.layers if not self.is_compiled else ():
            layer.compile()
        self.is_compiled = True

    def new_cache(self) -> Cache:
        """An empty cache for one sequence or one batch."""
        return Cache(layers=[None] * self.config.num_layers)

    def _angles(self, start: int, length: int, device: torch.device) -> tuple[Tensor, Tensor]:
        """Cosines and sines (T, D) of the rotary angles at positions start ... start + length - 1."""
        dtype, stop = self.norm.weight.dtype, start + length
        table = self._tables.get((dtype, device))
        if table is None or stop > len(table[0]):
            D = self.config.head_width
            # In float64, because a far position times a frequency loses too many digits in float32; on the CPU, because
            # not every accelerator has float64. Twice as many positions as now: a generated text gets longer.
            frequencies = ROPE_THETA ** -(torch.arange(0, D, 2, dtype=torch.float64) / D)  # (D/2,)
            angles = torch.outer(torch.arange(2 * stop, dtype=torch.float64), frequencies).repeat(1, 2)  # (2 T, D)
            table = angles.cos().to(device, dtype), angles.sin().to(device, dtype)
            self._tables[dtype, device] = table
        return table[0][start:stop], table[1][start:stop]

    def _positions_of(self, length: int, device: torch.device) -> _Positions:
        """For rows of `length` positions, made once."""
        key = length, self._dtype, device
        if key not in self._positions:
            cos, sin = (angle[:, : self.config.head_width // 2] for angle in self._angles(0, length, device))
            mask = torch.full((length, length), -torch.inf, device=device).triu(1)
            self._positions[key] = _Positions(*(each.to(self._dtype).contiguous() for each in (cos, sin, mask)))
        return self._positions[key]

    def _initialise(self) -> None:
        """Set all weights: norms to 1, projections into the residual stream to 0, the rest to a normal distribution.

        With zero projections every layer starts as the identity. The standard deviation is 0.02, but 1 / d_model for
        tied embeddings: a token's logit for itself starts near d_model * std, which 0.02 makes 10 at d_model 512.
        """
        for name, parameter in self.named_parameters():
            if parameter.dim() < 2:
                nn.init.ones_(parameter)
            elif name.endswith(("o_proj.weight", "down_proj.weight")):
                nn.init.zeros_(parameter)
            else:
                is_tied = self.lm_head is None and name == "embed_tokens.weight"
                nn.init.normal_(parameter, std=1 / self.config.d_model if is_tied else 0.02)


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """x (B, H, T, D) with each pair (x[i], x[i + D/2]) turned by the angle of its position; cos and sin (T, D)."""
    half = x.shape[-1] // 2
    return x * cos + torch.cat([-x[..., half:], x[..., :half]], dim=-1) * sin  # (B, H, T, D)
