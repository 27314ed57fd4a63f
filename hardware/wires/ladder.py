"""The resistor network of an array: its segments, what may not be asked of it, and its mirror image.

Node w_ij of word line i and node b_ij of bit line j are joined by cell ij. Word line i starts at its source (V_i),
bit line j ends at its sense amplifier (0 V):

    source i -- along_0 -- w_i0 -- along_1 -- w_i1 ... w_i,n-1          along_0 = r_source + r_word, others r_word
    b_0j -- below_0 -- b_1j ... b_m-1,j -- below_m-1 -- sense j         below_m-1 = r_bit + r_sense, others r_bit

so that a line's first and last segment count as wire (badcrossbar's convention).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from spikesim.errors import ParameterError, ShapeError, must


class Ladder(NamedTuple):
    """One network: g (m, n) siemens, 0 open, inf short; along (n,) and below (m,) ohms, see the module."""

    g: np.ndarray
    along: np.ndarray
    below: np.ndarray

    def mirrored(self) -> Ladder:
        """The network with sources and senses exchanged. Its effective matrix is this one's, `[::-1, ::-1].T`:
        what a volt at source i drives into sense j is what a volt at sense j drives into source i (reciprocity)."""
        return Ladder(np.ascontiguousarray(self.g[::-1, ::-1].T), self.below[::-1], self.along[::-1])

    def only(self, active: np.ndarray) -> Ladder:
        """The network of the active rows (indices, rising): the segments between two of them become one."""
        return Ladder(np.ascontiguousarray(self.g[active]), self.along, np.add.reduceat(self.below, active))

    def carries(self) -> bool:
        """Whether sources and senses are connected at all; ParameterError where a node has no potential.

        With an infinite resistance in a line no current reaches its end. The rest of the network must then hang on
        the other end, or its potentials are not defined.
        """
        r_word = self.along[1:].max(initial=0.0)
        fed, sensed = np.isfinite(self.along).all(), np.isfinite(self.below).all()
        if fed and sensed:
            return True
        if not fed and not sensed:
            raise ParameterError(must("Wires", "connected to sources or to senses", "infinite resistance in both lines",
                                      "make r_word and r_source, or r_bit and r_sense, finite"))  # fmt: skip
        cut = r_word if not fed else self.below[:-1].max(initial=0.0)
        connected = self.g > 0
        # A cut wire leaves each cell's node alone; a cut terminal leaves a whole line, which one cell can hold.
        holds = connected if np.isinf(cut) else connected.any(1 if not fed else 0)
        if not holds.all():
            line = "word" if not fed else "bit"
            raise ParameterError(must("Wires", "a network in which every node has a potential",
                                      f"a {line} line node that nothing connects",
                                      "close an open cell, or make the wire's resistance finite"))  # fmt: skip
        return False


def checked(g: np.ndarray) -> np.ndarray:
    """A copy of the conductances as (m, n) float64, C order; ParameterError where one is negative or NaN or the array is empty."""
    g = np.array(g, np.float64, order="C")
    if g.ndim != 2 or not g.size:
        raise ParameterError(must("Wires.g", "a matrix of (rows, columns) siemens", f"shape {g.shape}"))
    if not (g >= 0).all():
        bad = float(g[~(g >= 0)].flat[0])
        raise ParameterError(must("Wires.g", "at least 0 S (0 is open, inf is shorted)", bad))
    return g


def batched(name: str, v: np.ndarray, rows: int) -> np.ndarray:
    """v as (batch, rows) float64, finite."""
    v = np.atleast_2d(np.array(v, np.float64, order="C"))
    if v.ndim != 2 or v.shape[1] != rows:
        raise ShapeError(must(name, f"(batch, {rows}) volts", str(v.shape)))
    if not np.isfinite(v).all():
        raise ParameterError(must(name, "finite", float(v[~np.isfinite(v)].flat[0])))
    return v
