"""Every cell's fluctuation drawn for every read: what `_convert` draws for the sum of a column, the long way round.

    I_j <- I_j + sum_i a_i s_ij n_ij          n_ij ~ N(0, 1), one for each cell and read

Cell (i, j) takes number j of the draws of its row: those of `_convert` under the key words (low, high ^ (i + 1)).
"""

from __future__ import annotations

import numpy as np

from spikesim.core import normals as normals_module
from spikesim.core import philox as philox_module
from spikesim.core.kernel import kernel, shared_out
from spikesim.core.philox import MASK

from . import _convert as convert_module
from ._convert import PAD, Draw, draw_noise, noise_reference
from ._list import Listed


def sampled_reference(listed: Listed, ids: np.ndarray, sd: np.ndarray, draw: Draw, sums: np.ndarray) -> None:
    """sums (reads, at least columns) += fluctuations of the cells of the rows driven; sd (rows, columns) siemens."""
    lists, starts, about = listed
    columns = sd.shape[1]
    for e, (tile, patch, r, sign, plane) in enumerate(about.tolist()):
        place = int(ids[r % len(ids)]), int(draw.step0) + r // len(ids), patch, ((tile * 2 + sign) * 32 + plane) * 4096
        for row in lists[starts[e] : starts[e + 1]]:
            own = draw._replace(high=np.uint64(int(draw.high) ^ (int(row) + 1)))
            noise = noise_reference(columns + -columns % PAD, place, own)[:columns]
            sums[e, :columns] += sd[row] * noise


@kernel(
    reference=sampled_reference, items=lambda listed, *_: len(listed[2]), depends=(philox_module, normals_module, convert_module)
)  # fmt: skip
def sampled_kernel(listed, ids, sd, draw, sums, begin, end, team):  # type: ignore[no-untyped-def]
    if shared_out(begin, end, team):
        return
    lists, starts, about = listed
    columns = sd.shape[1]
    padded = (columns + PAD - 1) // PAD * PAD
    noise, word = np.empty(padded, np.float32), np.empty(padded, np.uint32)
    for e in range(begin, end):
        tile, patch, r, sign, plane = about[e, 0], about[e, 1], about[e, 2], about[e, 3], about[e, 4]
        sample, step = np.uint64(ids[r % ids.size]) & MASK, np.uint64(draw.step0 + r // ids.size)
        read, target = np.uint64(((tile * 2 + sign) * 32 + plane) * 4096), sums[e]
        for k in range(starts[e], starts[e + 1]):
            high, s = draw.high ^ np.uint64(lists[k] + 1), sd[lists[k]]
            draw_noise(noise, word, (sample, step, np.uint64(patch), read), draw.low, high)
            for j in range(columns):
                target[j] += s[j] * noise[j]
