"""Wire resistance of crossbars, exactly: what a column's current is once word lines and bit lines drop voltage.

from spikesim.hardware.wires import Driven, Gated, Ideal, Wires
wires = Wires(r_word=1.0, r_bit=1.0)
Driven(wires).matrix(g)            # (rows, columns) siemens; every later read is v @ matrix
Gated(wires).currents(g, v)        # rows without input are disconnected; cost falls with activity
"""

from .drive import LOSS_LIMIT, Drive, Driven, Gated, Ideal, lost
from .wires import Solution, Wires

__all__ = ["LOSS_LIMIT", "Drive", "Driven", "Gated", "Ideal", "Solution", "Wires", "lost"]
