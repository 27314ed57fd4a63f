"""Diffusion: schedules, denoisers, samplers, and how far sampled pictures are from real ones.

Read `schedule.py`, `denoiser.py`, then `samplers/reverse.py`; `mixture.py` is a denoiser whose answer is exact.
"""

from .comparison import Comparison, compared
from .denoiser import Denoiser, Guided, noise_in, predicted_x0, score
from .features import Classifier, classifier_of, classifier_of_file, features_of_file
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
from .noise import Noise
from .quality import Neighbours, Quality, Sureness, quality
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
from .schedule import CosineBetas, LinearBetas, Schedule, even_log_snr, leading, quadratic, uniform
from .threshold_guidance import with_thresholds

__all__ = [
    "Classifier",
    "Comparison",
    "CosineBetas",
    "Coverage",
    "Denoiser",
    "Distance",
    "GaussianMixture",
    "Guided",
    "LinearBetas",
    "Neighbours",
    "Noise",
    "Quality",
    "Reverse",
    "Schedule",
    "Share",
    "Sureness",
    "analytic_dpm",
    "analytic_reverse",
    "class_coverage",
    "classifier_of",
    "classifier_of_file",
    "compared",
    "confident_share",
    "ddim",
    "ddim_reverse",
    "ddpm",
    "ddpm_reverse",
    "dpm_solver2",
    "even_log_snr",
    "features_of_file",
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
    "quality",
    "sampled",
    "score",
    "uniform",
    "with_thresholds",
]
