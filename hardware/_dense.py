"""The read of `_read.py` in torch, on any device: one matrix product per array, sign and bit plane.

Counts and words of the draws are those of the kernels; sums come in another order and logarithms from torch, so outputs agree
to rounding, and a current that rounding moves across the edge of a code gives the next one.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from spikesim.core.philox import words_of_tensors

from ._read import CLIPPED, CONDUCTANCE, DRIVES, READS
from .bank import Bank
from .patches import Patches


def read_dense(
    x: Tensor, ids: np.ndarray, step0: int, patches: Patches, bank: Bank, key: int | None, outputs: int
) -> tuple[Tensor, Tensor]:
    """Whole-number inputs x (T, B, *in_shape) -> siemens (T B, patches, n_out), and counts as `_read.read_kernel`'s.

    ids (B,) sample ids; key of the draws, None: nothing fluctuates.
    """
    steps, batch = x.shape[:2]
    rows = unrolled(x.flatten(0, 1), patches)
    place, device = bank.placement, x.device
    tables = [torch.from_numpy(c.astype(np.float32)).to(device) for c in bank.columns]
    sizes = torch.from_numpy(bank.kernel_cells.nanosiemens).to(device).double()
    out = torch.zeros(*rows.shape[:2], outputs, device=device)
    counts = torch.zeros(len(rows), len(place.first), CONDUCTANCE + sizes.shape[1], dtype=torch.int64, device=device)
    sample = torch.from_numpy(ids).to(device).repeat(steps) & 0xFFFFFFFF
    step = step0 + torch.arange(steps, device=device).repeat_interleave(batch)
    for tile, (start, stop) in enumerate(zip(place.rows[:-1].tolist(), place.rows[1:].tolist())):
        here = rows[:, :, start:stop]
        for sign in (0, 1):
            side = (-here if sign else here).clamp(min=0).long()
            for plane in range(int(side.max()).bit_length() if side.numel() else 0):
                a = ((side >> plane) & 1).float()
                driven = a.sum(2)
                current = a @ tables[0][start:stop]
                if key is not None:
                    spread = a @ tables[1][start:stop] + _row(bank.converters.variance, tile, current)
                    read = ((tile * 2 + sign) * 32 + plane) * 4096
                    current = current + spread.sqrt() * _noise(current.shape, sample, step, read, key)
                q, clipped = _converted(current, bank, tile)
                on = (driven > 0)[..., None]
                first = int(place.first[tile])
                share = _decoded(q, driven, bank) * (2.0**plane * (1 - 2 * sign))
                out[:, :, first : first + place.outputs] += torch.where(on, share, torch.zeros_like(share))
                counts[:, tile, DRIVES] += driven.sum(1).long()
                counts[:, tile, READS] += on.sum((1, 2))
                counts[:, tile, CLIPPED] += (clipped & on).sum((1, 2))
                counts[:, tile, CONDUCTANCE:] += (a.double().sum(1) @ sizes[start:stop]).long()
    return out, counts


def unrolled(x: Tensor, patches: Patches) -> Tensor:
    """x (R, *in_shape) -> (R, patches, rows)."""
    if not patches.axes:
        return x[:, None]
    maps = x if patches.axes == 2 else x[:, :, None]
    found = functional.unfold(maps, patches.kernel, patches.dilation, patches.padding, patches.stride)
    if patches.by_pixel:
        found = found.unflatten(1, (-1, patches.pixels)).transpose(1, 2).flatten(1, 2)
    return found.transpose(1, 2)


def _row(table: np.ndarray, tile: int, like: Tensor) -> Tensor:
    return torch.from_numpy(table[tile, : like.shape[-1]]).to(like.device)


def _noise(shape: tuple[int, ...], sample: Tensor, step: Tensor, read: int, key: int) -> Tensor:
    """(R, patches, columns) normals of one read of every row and patch, those of `_convert.noise_reference`."""
    _, patches, columns = shape
    quads = -(-columns // 16) * 4
    patch = torch.arange(patches, device=sample.device)[None, :, None]
    place = read + torch.arange(quads, device=sample.device)[None, None]
    counter = torch.broadcast_tensors(sample[:, None, None], step[:, None, None], patch, place)
    a, b, c, d = words_of_tensors(counter[0], counter[1], counter[2], counter[3], key)
    pairs: list[Tensor] = []
    for u, v in ((a, b), (c, d)):
        radius = (-2 * (((u >> 1).double() + 0.5) * 2.0**-31).log()).sqrt()
        angle = v.double() * (2 * math.pi * 2.0**-32)
        pairs += [radius * angle.cos(), radius * angle.sin()]
    return torch.cat(pairs, -1)[..., :columns].float()


def _converted(current: Tensor, bank: Bank, tile: int) -> tuple[Tensor, Tensor]:
    """q, and which columns are outside the codes."""
    by = bank.converters
    current = _row(by.gain, tile, current) * current + _row(by.offset, tile, current)
    lsb = _row(by.lsb, tile, current)
    if lsb[0] == 0:
        return current, torch.zeros_like(current, dtype=torch.bool)
    exact = current * _row(by.per, tile, current) + 0.5
    level, low, top = exact.floor(), float(by.low), float(by.top)
    code = level.clamp(low, top)
    if by.bits.shape[1]:
        kept, code = torch.zeros_like(level), torch.full_like(level, low)
        for b in range(by.bits.shape[1]):
            capacitor = _row(by.bits[:, b], tile, current)
            take = kept + capacitor <= exact - low
            kept = torch.where(take, kept + capacitor, kept)
            code = code + take * 2.0 ** (by.bits.shape[1] - 1 - b)
    return code * lsb, (level > top) | (level < low)


def _decoded(q: Tensor, driven: Tensor, bank: Bank) -> Tensor:
    """What codes add to the outputs of their group."""
    rule, n = bank.decoding, bank.placement.outputs
    weights: Any = torch.from_numpy(rule.weights).to(q.device)
    k = len(rule.weights)
    total = (q[..., : k * n].unflatten(-1, (k, n)) * weights[:, None]).sum(-2)
    if len(rule.reference):
        reference = torch.from_numpy(rule.reference).long().to(q.device)
        total = total - float(rule.reference_weight) * q[..., k * n :][..., reference]
    return total + float(rule.shift) * driven[..., None]
