"""Randomness as an argument: one root seed, and draws that are pure functions of named counters.

A draw is Philox4x32-10 (Salmon et al., SC'11) of a 64-bit key and a 128-bit counter. The key is made from the
root seed and a path of names ("programming", "read"); the counter says which draw it is (sample id, step,
patch, column). The same key and counter give the same number in any order, batch split, thread or process.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..errors import ParameterError, must


@dataclass(frozen=True)
class Seeds:
    """A root seed and a path of names below it.

    `Seeds(7).child("chip", 3).key` is a uint64; `.generator()` a numpy Generator for host-side draws that are
    made once (initial weights, programming errors), `.torch()` a torch Generator. Frozen: drawing twice from
    the same seeds gives the same numbers.
    """

    root: int = 0
    path: tuple[str | int, ...] = ()

    def __post_init__(self) -> None:
        if not isinstance(self.root, (int, np.integer)) or isinstance(self.root, bool) or self.root < 0:
            raise ParameterError(must("Seeds.root", "a whole number at least 0", self.root))

    def child(self, *names: str | int) -> Seeds:
        """The seeds of a named purpose below this one; order and spelling of the names matter."""
        return Seeds(int(self.root), (*self.path, *names))

    @cached_property
    def key(self) -> int:
        """64-bit Philox key: BLAKE2b of root and path."""
        text = repr((int(self.root), *[n if isinstance(n, str) else int(n) for n in self.path]))
        return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")

    def generator(self) -> np.random.Generator:
        """A numpy generator (Philox) that starts at counter 0 of this key."""
        return np.random.Generator(np.random.Philox(key=self.key))

    def torch(self):  # type: ignore[no-untyped-def]
        """A torch CPU generator seeded with this key."""
        import torch

        return torch.Generator().manual_seed(self.key & 0x7FFF_FFFF_FFFF_FFFF)
