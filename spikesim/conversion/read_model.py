"""ReadModel: a network that was read from a file straight into the nodes of a draft."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor, nn

from ..core.packing import Shapes, packed
from ..errors import ShapeError, must
from ..network import INPUT
from .sketch import Sketch


class ReadModel(nn.Module):
    """Abstract: a file as a torch module, x (B, *shape) -> (B, ...), several x for several inputs.

    It computes with the nodes that the file was read into; they are made when the first inputs say their shapes.
    """

    path: Path

    def __init__(self) -> None:
        super().__init__()
        self._read: tuple[Sketch, str] | None = None

    @property
    def input_shapes(self) -> tuple[tuple[int | None, ...], ...]:
        """(*shape) that the file asks for, of every input; None where it leaves a size open."""
        raise NotImplementedError

    @property
    def inputs(self) -> int:
        """Tensors that the file's graph takes."""
        return len(self.input_shapes)

    def sketched(self, example: Tensor, parts: Shapes) -> tuple[Sketch, str]:
        """The nodes of the file and the name of its result, computed on example (B, *shape).

        parts  (*shape) of every input; several are packed in the example
        """
        if self._read is None:
            self._must_fit(parts)
            self._read = self._sketch(example.float(), parts)
        return self._read

    def _sketch(self, example: Tensor, parts: Shapes) -> tuple[Sketch, str]:
        raise NotImplementedError

    def forward(self, *x: Tensor) -> Tensor:
        parts = tuple(tuple(part.shape[1:]) for part in x)
        self._must_fit(parts)
        given = packed([part.float() for part in x], parts, 1, "input") if len(x) > 1 else x[0].float()
        sketch, result = self.sketched(given, parts)
        values = {INPUT: given}
        for node in sketch.nodes:
            whole = [values[source] for source in node.sources]
            joined = getattr(node.module, "joins", False)
            values[node.name] = node.module(*whole) if joined else node.module(sum(whole[1:], whole[0]))
        return values[result]

    def _must_fit(self, parts: Shapes) -> None:
        asked = self.input_shapes
        if len(asked) != len(parts):
            raise ShapeError(must("convert.calibration", f"{len(asked)} inputs for {self.path.name}", len(parts)))
        for wanted, got in zip(asked, parts):
            if len(wanted) != len(got) or not all(n in (None, m) for n, m in zip(wanted, got)):
                shape = ", ".join(["N", *("?" if n is None else str(n) for n in wanted)])
                given = ", ".join(["N", *map(str, got)])
                raise ShapeError(must("convert.calibration", f"({shape}) for {self.path.name}", f"({given})"))
