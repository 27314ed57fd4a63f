"""NIR (Neuromorphic Intermediate Representation): networks to and from other simulators and chips, as graph or file.

    write(network, "net.nir")          read("net.nir", dt="0.1 ms")          files (HDF5)
    to_nir(network) -> nir.NIRGraph    from_nir(graph) -> Network            in memory

NIR states differential equations; a Network steps. `neurons.py` and `layers.py` have the map of nodes in both
directions. What NIR cannot say (reset by subtraction, first membranes, dt, the readout) goes into metadata, which we
read back; `ForeignReading` warns of what other readers would do differently. docs/nir.md.
Pedersen et al., Nature Communications 15:8122, 2024.
"""

from .exporting import ForeignReading, to_nir
from .files import describe, read, write, write_graph
from .importing import from_nir

__all__ = ["ForeignReading", "describe", "from_nir", "read", "to_nir", "write", "write_graph"]
