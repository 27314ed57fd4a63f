"""The noise of sampled pictures, named by picture: picture i is the same in any batch, order, thread or process.

key (seeds, purpose, repeat);  counter (pixel / 4, time, picture);  four words -> four normals (`core.normals`)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..core.normals import normals
from ..core.philox import words
from ..core.seeds import Seeds
from ..errors import ParameterError, must


@dataclass(frozen=True, eq=False)
class Noise:
    """All the noise of a batch of pictures.

    images   which pictures these are: numbers at least 0, like range(128, 256)
    shape    (C, H, W)
    dtype, device   of what is sampled; the numbers are drawn as float32 on the CPU, whatever they are
    """

    seeds: Seeds
    images: Sequence[int]
    shape: tuple[int, ...]
    dtype: torch.dtype = torch.float32
    device: torch.device | str = "cpu"

    def __post_init__(self) -> None:
        if not len(self.images) or min(self.images) < 0:
            raise ParameterError(must("Noise.images", "numbers at least 0, one or more", list(self.images)))
        if len(self.shape) != 3 or min(self.shape) < 1:
            raise ParameterError(must("Noise.shape", "(C, H, W), each at least 1", tuple(self.shape)))

    def initial(self) -> Tensor:
        """(B, C, H, W) standard normals that sampling starts from."""
        return self._drawn("initial", 0, 0)

    def step(self, time: int, repeat: int = 0) -> Tensor:
        """(B, C, H, W) for the step at a time of the schedule; `repeat` counts a step that is made again."""
        return self._drawn("step", time, repeat)

    def known(self, time: int, repeat: int = 0) -> Tensor:
        """(B, C, H, W) for pixels that are given, noised again at a time."""
        return self._drawn("known", time, repeat)

    def again(self, time: int, repeat: int = 0) -> Tensor:
        """(B, C, H, W) for going a step back up to noise at a time, before it is made again."""
        return self._drawn("again", time, repeat)

    def _drawn(self, purpose: str, time: int, repeat: int) -> Tensor:
        size = int(np.prod(self.shape))
        pictures = np.asarray(self.images, np.uint64)[:, None]
        quads = np.arange(-(-size // 4))[None]
        key = self.seeds.child("diffusion", purpose, repeat).key
        a, b, c, d = words(quads, time, pictures & np.uint64(0xFFFFFFFF), pictures >> np.uint64(32), key)
        drawn = np.stack([*normals(a, b), *normals(c, d)], axis=-1).reshape(len(pictures), -1)[:, :size]
        return torch.as_tensor(drawn).reshape(len(pictures), *self.shape).to(self.device, self.dtype)
