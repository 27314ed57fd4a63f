"""Diffusion: schedules, denoisers, samplers, and how far sampled pictures are from real ones.

Read `schedule.py`, `denoiser.py`, then `samplers/reverse.py`; `mixture.py` is a denoiser whose answer is exact. Networks:
`unet.py`, `training.py`, `model.py`, `sampling.py`.
"""

from .denoiser import Denoiser, Guided, noise_in, predicted_x0, score
from .metrics import (
    Coverage,
    Distance,
    Share,
    class_coverage,
    confident_share,
    frechet,
    frechet_by_chance,
    kernel_distance,
    nearest_neighbours,
)
from .mixture import GaussianMixture
from .model import DiffusionModel, Pictures
from .network_denoiser import NetworkDenoiser
from .noise import Noise
from .samplers import (
    Reverse,
    analytic_dpm,
    analytic_reverse,
    ddim,
    ddim_reverse,
    ddpm,
    ddpm_reverse,
    dpm_solver2,
    image_to_image,
    inpaint,
    mean_squared_noise,
    sampled,
)
from .sampling import Sampler, Sampling
from .schedule import CosineBetas, LinearBetas, Schedule, even_log_snr, leading, quadratic, uniform
from .threshold_guidance import with_thresholds
from .training import NoisedBatches, NoisePrediction, warm_start
from .unet import UNet

__all__ = [
    "CosineBetas",
    "Coverage",
    "Denoiser",
    "DiffusionModel",
    "Distance",
    "GaussianMixture",
    "Guided",
    "LinearBetas",
    "NetworkDenoiser",
    "Noise",
    "NoisePrediction",
    "NoisedBatches",
    "Pictures",
    "Reverse",
    "Sampler",
    "Sampling",
    "Schedule",
    "Share",
    "UNet",
    "analytic_dpm",
    "analytic_reverse",
    "class_coverage",
    "confident_share",
    "ddim",
    "ddim_reverse",
    "ddpm",
    "ddpm_reverse",
    "dpm_solver2",
    "even_log_snr",
    "frechet",
    "frechet_by_chance",
    "image_to_image",
    "inpaint",
    "kernel_distance",
    "leading",
    "mean_squared_noise",
    "nearest_neighbours",
    "noise_in",
    "predicted_x0",
    "quadratic",
    "sampled",
    "score",
    "uniform",
    "warm_start",
    "with_thresholds",
]
