"""Torch's attention layers written out in plain operations, so that they can be traced with samples on the first axis."""

from __future__ import annotations

import copy
from typing import Any

from torch import Tensor, nn
from torch.nn import functional


class PlainAttention(nn.Module):
    """`nn.MultiheadAttention` with batch_first, no masks, keys as wide as queries. q, k, v (B, L, E) -> (B, L, E)."""

    def __init__(self, layer: nn.MultiheadAttention) -> None:
        super().__init__()
        self.heads, size = layer.num_heads, layer.embed_dim
        assert isinstance(layer.in_proj_weight, Tensor)
        parts = layer.in_proj_weight.detach().split(size)
        offsets: Any = [None] * 3
        if isinstance(layer.in_proj_bias, Tensor):
            offsets = layer.in_proj_bias.detach().split(size)
        for name, weight, bias in zip(("q", "k", "v"), parts, offsets):
            projection = nn.Linear(size, size, bias=bias is not None)
            projection.weight.data = weight.clone()
            if bias is not None:
                projection.bias.data = bias.clone()
            setattr(self, name, projection)
        self.out_proj = layer.out_proj

    def forward(self, query: Tensor, key: Tensor, value: Tensor, **options: Any) -> tuple[Tensor, None]:
        if any(options.get(mask) is not None for mask in ("key_padding_mask", "attn_mask")):
            raise NotImplementedError("masked attention")
        parts = (self.q(query), self.k(key), self.v(value))  # type: ignore[operator]
        q, k, v = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in parts)
        y = functional.scaled_dot_product_attention(q, k, v)
        return self.out_proj(y.transpose(1, 2).flatten(2)), None


class PlainEncoderLayer(nn.Module):
    """`nn.TransformerEncoderLayer` with batch_first, no masks."""

    def __init__(self, layer: nn.TransformerEncoderLayer) -> None:
        super().__init__()
        self.self_attn = PlainAttention(layer.self_attn)
        self.linear1, self.linear2, self.norm1, self.norm2 = layer.linear1, layer.linear2, layer.norm1, layer.norm2
        self.activation, self.norm_first = layer.activation, layer.norm_first

    def forward(self, src: Tensor, *rest: Any, **options: Any) -> Tensor:
        if self.norm_first:
            x = src + self._attended(self.norm1(src))
            return x + self._fed(self.norm2(x))  # type: ignore[no-any-return]
        x = self.norm1(src + self._attended(src))
        return self.norm2(x + self._fed(x))  # type: ignore[no-any-return]

    def _attended(self, x: Tensor) -> Tensor:
        return self.self_attn(x, x, x)[0]  # type: ignore[no-any-return]

    def _fed(self, x: Tensor) -> Tensor:
        return self.linear2(self.activation(self.linear1(x)))  # type: ignore[no-any-return,operator]


def written_out(ann: nn.Module) -> nn.Module:
    """A copy of `ann` with its attention layers written out; `ann` itself where it has none."""
    if not any(isinstance(module, (nn.MultiheadAttention, nn.TransformerEncoderLayer)) for module in ann.modules()):
        return ann
    return _replaced(copy.deepcopy(ann))


def _replaced(module: nn.Module) -> nn.Module:
    if isinstance(module, nn.TransformerEncoderLayer) and _plain(module.self_attn):
        return PlainEncoderLayer(module)
    if isinstance(module, nn.MultiheadAttention) and _plain(module):
        return PlainAttention(module)
    if isinstance(module, nn.TransformerEncoder):
        layers = [_replaced(layer) for layer in module.layers]
        return nn.Sequential(*layers, *([] if module.norm is None else [module.norm]))
    for name, child in module.named_children():
        setattr(module, name, _replaced(child))
    return module


def _plain(layer: nn.MultiheadAttention) -> bool:
    return layer.batch_first and layer.in_proj_weight is not None and layer.bias_k is None
