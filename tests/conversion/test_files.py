"""Model files: .pt2 without a pickle, ONNX files that are cut, absurd, or reach outside their folder."""

from __future__ import annotations

import io
import json
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from conversion.strangers import Asserting, Residual, seeded
from torch import Tensor, nn

import spikesim as ss
from benchmarks.zoo_models import ZOO
from spikesim.cli.models import read_ann
from spikesim.conversion import ExportedModel, OnnxModel
from spikesim.errors import ArtefactError, ConversionError, ParameterError, ShapeError

pytestmark = [
    pytest.mark.filterwarnings("ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]


def inputs(n: int) -> Tensor:
    return torch.rand(n, 1, 12, 12, generator=torch.Generator().manual_seed(0))


def exported(kind: type[nn.Module], path: Path, batch: int = 2, **options: object) -> Path:
    program = torch.export.export(seeded(kind).eval(), (inputs(batch),), **options)  # type: ignore[arg-type]
    torch.export.save(program, path)
    return path


def rewritten(path: Path, out: Path, changes: dict[str, bytes]) -> Path:
    """The archive with some entries changed or added, by the end of their names."""
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(out, "w") as new:
        root = old.namelist()[0].split("/")[0]
        left = dict(changes)
        for name in old.namelist():
            end = next((end for end in left if name.endswith(end)), None)
            new.writestr(name, old.read(name) if end is None else left.pop(end))
        for name, data in left.items():
            new.writestr(f"{root}/{name}", data)
    return out


class Trap:
    """Touches a file when unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return Path.touch, (self.path,)


def test_an_exported_program_is_read_and_converts(tmp_path: Path) -> None:
    path = exported(Residual, tmp_path / "net.pt2")
    model, _ = read_ann(str(path), None)
    x, ann = inputs(64), seeded(Residual).eval()
    snn, report = ss.convert(model, calibration=x)
    with torch.no_grad():
        assert torch.allclose(model(x), ann(x), atol=1e-5)
        wanted = ann(x)
    assert len(report.layers) == 3
    assert float((ss.run(snn, x, steps=128).readout - wanted).norm() / wanted.norm()) < 0.02
    with pytest.raises(ShapeError, match=r"\(N, 1, 12, 12\) for net\.pt2"):
        ss.convert(model.__class__(path), calibration=inputs(8)[..., :11])


def test_open_batch_sizes_and_one_alone(tmp_path: Path) -> None:
    for batch, options in ((1, {}), (2, {"dynamic_shapes": ({0: torch.export.Dim("batch")},)})):
        path = exported(Asserting, tmp_path / f"{batch}.pt2", batch, **options)
        with torch.no_grad():
            assert torch.allclose(ExportedModel(path)(inputs(5)), seeded(Asserting).eval()(inputs(5)), atol=1e-5)


def test_a_pickle_in_a_pt2_is_refused_and_never_opened(tmp_path: Path) -> None:
    path, touched = exported(Residual, tmp_path / "net.pt2"), tmp_path / "touched"
    buffer = io.BytesIO()
    torch.save(Trap(touched), buffer)
    raw = pickle.dumps(Trap(touched))
    for entry, data in (("sample_inputs/model.pt", buffer.getvalue()), ("sample_inputs/model.pt", raw),
                        ("data/constants/custom_obj_0", raw), ("extra/code.pkl", raw)):  # fmt: skip
        bad = rewritten(path, tmp_path / "bad.pt2", {entry: data})
        with pytest.raises(ArtefactError, match=r"holds nothing but tensors.*use \.onnx or module:function") as refusal:
            ExportedModel(bad)
        assert "\n" not in str(refusal.value) and not touched.exists()
    with zipfile.ZipFile(path) as archive:
        config = json.loads(archive.read("net/data/weights/model_weights_config.json"))
    next(iter(config["config"].values()))["use_pickle"] = True
    changes = {"model_weights_config.json": json.dumps(config).encode(), "data/weights/weight_0": buffer.getvalue()}
    with pytest.raises(ArtefactError, match="holds nothing but tensors"):
        ExportedModel(rewritten(path, tmp_path / "bad.pt2", changes))
    assert not touched.exists()


def test_operators_that_are_not_atens_are_refused(tmp_path: Path) -> None:
    path = exported(Residual, tmp_path / "net.pt2")
    with zipfile.ZipFile(path) as archive:
        text = archive.read("net/models/model.json").decode()
    for target in ("os.system", "torch.ops.aten.relu.__globals__", "torch.hub.load", "_operator.call"):
        changed = text.replace("torch.ops.aten.relu_.default", target, 1)
        changed = changed.replace("torch.ops.aten.relu.default", target, 1)
        assert target in changed
        with pytest.raises(ConversionError, match=r"of ATen's operators"):
            ExportedModel(rewritten(path, tmp_path / "bad.pt2", {"models/model.json": changed.encode()}))


def test_files_that_are_no_archives_are_refused(tmp_path: Path) -> None:
    whole = exported(Residual, tmp_path / "net.pt2").read_bytes()
    for data in (b"", b"PK", whole[: len(whole) // 2]):
        (tmp_path / "cut.pt2").write_bytes(data)
        with pytest.raises(ArtefactError, match=r"MODEL must be a whole \.pt2 file"):
            ExportedModel(tmp_path / "cut.pt2")
    torch.save({"a": torch.ones(2)}, tmp_path / "weights.pt2")
    with pytest.raises(ArtefactError, match=r"MODEL must be a \.pt2 archive"):
        ExportedModel(tmp_path / "weights.pt2")
    with pytest.raises(ArtefactError, match="a file that is there"):
        read_ann(str(tmp_path / "none.pt2"), None)
    with pytest.raises(ParameterError, match="--weights must be absent"):
        read_ann(str(tmp_path / "net.pt2"), tmp_path / "weights.npz")


def _onnx(path: Path, change: object) -> Path:
    """The zoo's MNIST file with something changed."""
    import onnx

    model = ZOO["onnx_mnist8"].network().model  # type: ignore[union-attr]
    change(model)  # type: ignore[operator]
    path.write_bytes(model.SerializeToString())
    assert onnx
    return path


def _external(location: str):  # type: ignore[no-untyped-def]
    def change(model) -> None:  # type: ignore[no-untyped-def]
        tensor = model.graph.initializer[0]
        tensor.ClearField("raw_data")
        tensor.data_location = 1
        for key, value in (("location", location), ("length", "800")):
            tensor.external_data.add(key=key, value=value)

    return change


def _absurd(model) -> None:  # type: ignore[no-untyped-def]
    model.graph.initializer[0].dims[:] = [1 << 30, 1 << 30]


def _negative(model) -> None:  # type: ignore[no-untyped-def]
    model.graph.initializer[0].dims[0] = -8


def _poisoned(model) -> None:  # type: ignore[no-untyped-def]
    values = np.frombuffer(model.graph.initializer[0].raw_data, np.float32).copy()
    values[3] = np.nan
    model.graph.initializer[0].raw_data = values.tobytes()


def _strange(model) -> None:  # type: ignore[no-untyped-def]
    model.graph.node[3].op_type = "NonMaxSuppression"


def _looping(model) -> None:  # type: ignore[no-untyped-def]
    model.graph.node[3].op_type = "Loop"


@pytest.mark.parametrize("change, said", [
    (_external("../secret.bin"), "data inside the file's folder"), (_external("/etc/passwd"), "data inside the file's"),
    (_external("not_there.bin"), "data in a file that is there"), (_absurd, "tensors of at most 2 GiB"),
    (_negative, r"tensors of at most 2 GiB|as long as its shape says"), (_poisoned, "w1 must be finite, got nan"),
    (_strange, r"r1 must be a supported operator, got NonMaxSuppression"), (_looping, "got Loop"),
])  # fmt: skip
def test_onnx_files_that_cannot_be_used_are_refused_in_one_line(change: object, said: str, tmp_path: Path) -> None:
    with pytest.raises((ArtefactError, ConversionError), match=said) as refusal:
        ss.convert(OnnxModel(_onnx(tmp_path / "bad.onnx", change)), calibration=ZOO["onnx_mnist8"].inputs(4))
    assert "\n" not in str(refusal.value)


def test_a_cut_onnx_file_is_refused(tmp_path: Path) -> None:
    whole = _onnx(tmp_path / "net.onnx", lambda model: None).read_bytes()
    for data in (b"", whole[: len(whole) // 2], b"\x00" * 64):
        (tmp_path / "cut.onnx").write_bytes(data)
        with pytest.raises(ArtefactError, match=r"MODEL must be a whole ONNX file"):
            OnnxModel(tmp_path / "cut.onnx")


def test_inputs_scaled_as_never_in_training_are_warned_about() -> None:
    ann, x = seeded(Residual).eval(), inputs(64)
    with torch.no_grad():
        y = ann.conv2(ann.relu(ann.conv1(torch.nn.functional.max_pool2d(ann.relu(ann.stem(x)), 3))))
        ann.bn.running_mean.copy_(y.mean((0, 2, 3)))
        ann.bn.running_var.copy_(y.var((0, 2, 3)))
    assert not any("scaled" in line for line in ss.convert(ann, calibration=x)[1].warnings)
    with pytest.warns(UserWarning, match=r"reach ann\.bn at .* are they scaled as in training"):
        ss.convert(ann, calibration=255 * x)
    with pytest.raises(ParameterError, match="inputs that differ, got 0 throughout"):
        ss.convert(ann, calibration=torch.zeros(64, 1, 12, 12))
