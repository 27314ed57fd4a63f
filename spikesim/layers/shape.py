"""Shapes: what moves values about, joins them or adds a constant, at every step alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..errors import ParameterError, must


class Reshape(nn.Module):
    """x (N, *shape) -> (N, *out_shape), the values in their order."""

    def __init__(self, out_shape: tuple[int, ...]) -> None:
        super().__init__()
        self.out_shape = tuple(out_shape)

    def forward(self, x: Tensor) -> Tensor:
        return x.reshape(x.shape[0], *self.out_shape)

    def extra_repr(self) -> str:
        return f"{self.out_shape}"


class Rearrange(nn.Module):
    """y[n, j] = x[n, index[j]], and 0 where index[j] is -1: slices, transposes, paddings, nearest upsampling ...

    x (N, *shape) -> y (N, *out_shape);  index (prod(out_shape),) int64, flat in *shape
    """

    index: Tensor

    def __init__(self, out_shape: tuple[int, ...]) -> None:
        super().__init__()
        self.out_shape = tuple(out_shape)
        self.register_buffer("index", torch.zeros(int(torch.Size(self.out_shape).numel()), dtype=torch.int64))

    def forward(self, x: Tensor) -> Tensor:
        y = x.flatten(1).index_select(1, self.index.clamp(min=0)).masked_fill_(self.index < 0, 0)
        return y.reshape(x.shape[0], *self.out_shape)

    def extra_repr(self) -> str:
        return f"{self.out_shape}"


class Shift(nn.Module):
    """y = x + bias: a constant current. x (N, *shape); shape: the bias's, broadcast to *shape. It starts at 0."""

    bias: Tensor

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.shape = tuple(shape)
        self.register_buffer("bias", torch.zeros(self.shape))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.bias


class Upsample(nn.Module):
    """Bilinear upsampling: linear, so it runs at every step. x (N, C, H, W)."""

    def __init__(self, size: tuple[int, int], align_corners: bool = False) -> None:
        super().__init__()
        self.size, self.align_corners = tuple(size), align_corners

    def forward(self, x: Tensor) -> Tensor:
        return functional.interpolate(x, self.size, mode="bilinear", align_corners=self.align_corners)


class Reduce(nn.Module):
    """The mean, or the sum, over some axes. x (N, *shape);  dims: axes of x, none of them 0."""

    def __init__(self, dims: tuple[int, ...], keepdim: bool = False, mean: bool = True) -> None:
        super().__init__()
        self.dims, self.keepdim, self.mean = tuple(dims), keepdim, mean

    def forward(self, x: Tensor) -> Tensor:
        return x.mean(self.dims, self.keepdim) if self.mean else x.sum(self.dims, self.keepdim)

    def extra_repr(self) -> str:
        return f"{self.dims}, keepdim={self.keepdim}, mean={self.mean}"


class Join(nn.Module):
    """Abstract: a module of several inputs. A network hands it the values of its edges, in the order of the edges."""

    joins: ClassVar[bool] = True


class Concat(Join):
    """Several x (N, ...) side by side along axis `dim` of x."""

    def __init__(self, dim: int = 1) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, *parts: Tensor) -> Tensor:
        return torch.cat(parts, self.dim)

    def extra_repr(self) -> str:
        return f"{self.dim}"


class Multiply(Join):
    """The product of two inputs, which broadcast: gates."""

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        return a * b


class Divide(Join):
    """The quotient of two inputs, which broadcast."""

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        return a / b


class Pointwise(nn.Module):
    """One of torch's functions of a number, by name. x (N, *shape) -> (N, *shape)."""

    FUNCTIONS: ClassVar[dict[str, Callable[[Tensor], Tensor]]] = {
        "exp": torch.exp, "log": torch.log, "sqrt": torch.sqrt, "rsqrt": torch.rsqrt, "reciprocal": torch.reciprocal,
        "erf": torch.erf, "log1p": torch.log1p, "expm1": torch.expm1, "sin": torch.sin, "cos": torch.cos,
    }  # fmt: skip

    def __init__(self, name: str) -> None:
        super().__init__()
        if name not in self.FUNCTIONS:
            raise ParameterError(must("Pointwise.name", f"one of {', '.join(self.FUNCTIONS)}", name))
        self.name = name

    def forward(self, x: Tensor) -> Tensor:
        return self.FUNCTIONS[self.name](x)

    def extra_repr(self) -> str:
        return self.name


class MatMul(Join):
    """The matrix product of two inputs (N, ..., n, k) and (N, ..., k, m)."""

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        return a @ b


class Attention(Join):
    """softmax(scale q k^T) v of q (N, ..., L, E), k (N, ..., S, E), v (N, ..., S, F); scale None: 1 / sqrt(E)."""

    def __init__(self, scale: float | None = None, causal: bool = False) -> None:
        super().__init__()
        self.scale, self.causal = scale, causal

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return nn.functional.scaled_dot_product_attention(q, k, v, is_causal=self.causal, scale=self.scale)


class Gain(nn.Module):
    """y = gain x: values of the input, brought to what neurons send, where the two meet (`Conversion.entry_scales`)."""

    gain: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("gain", torch.ones(()))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gain
