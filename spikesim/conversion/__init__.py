"""Conversion: ANN -> capture -> draft -> steps of a recipe -> network, report. Read `converter.py`, then `draft.py`."""

from __future__ import annotations

from importlib import import_module
from typing import Any

_HOMES = {
    "converter": ("convert",),
    "recipe": ("RECIPES", "Recipe", "Step", "recipe_of"),
    "report": ("ConversionReport", "LayerReport"),
    "best_of": ("BestOf",),
    "block_finetuning": ("TunedBlock", "Tuning", "finetune_blocks"),
    "calibrate": ("LightCalibration", "PotentialCalibration"),
    "delayed_readout": ("DelayedReadout",),
    "fitted_neurons": ("FittedNeurons",),
    "fold_batch_norm": ("FoldBatchNorm",),
    "fold_padding": ("FoldPadding",),
    "gaussian_threshold": ("GaussianThreshold",),
    "headroom": ("Headroom",),
    "initial_potential": ("InitialPotential",),
    "levels": ("Burst", "Levels"),
    "local_threshold_balance": ("LocalThresholdBalance",),
    "mse_threshold": ("MseThreshold",),
    "offset_correction": ("OffsetCorrection",),
    "exported_file": ("ExportedModel",),
    "onnx_file": ("OnnxModel",),
    "oracle": ("layer_synchronous",),
    "pool_before_neuron": ("PoolBeforeNeuron",),
    "quantise": ("FastSnn", "Qcfs", "replace_activations"),
    "signed_spikes": ("SignedSpikes",),
    "threshold_balance": ("ThresholdBalance",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = sorted(_HOME_OF)


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'spikesim.conversion' has no attribute {name!r}")
    return getattr(import_module(f"spikesim.conversion.{_HOME_OF[name]}"), name)
