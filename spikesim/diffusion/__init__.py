"""Diffusion: schedules, denoisers, samplers, and how far sampled pictures are from real ones.

Read `schedule.py`, `denoiser.py`, then `samplers/reverse.py`; `mixture.py` is a denoiser whose answer is exact. Networks:
`unet.py`, `training.py`, `model.py`, `sampling.py`.
"""

from ..conversion.block_finetuning import Tuning
from .comparison import Comparison, compared
from .converted import converted, tuned
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
from .model import Description, DiffusionModel
from .network_denoiser import NetworkDenoiser
from .noise import Noise
from .on_chip import PictureEnergy, deployed, picture_energy
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
from .sampling import Sampler, Sampling
from .schedule import CosineBetas, LinearBetas, Schedule, even_log_snr, leading, quadratic, uniform
from .threshold_choice import Chosen, chosen_threshold, denoising_error, swept
from .threshold_guidance import with_thresholds
from .training import DenoisingLoss, NoisedBatches, warm_start
from .unet import UNet

__all__ = [
    "Chosen",
    "Classifier",
    "Comparison",
    "CosineBetas",
    "Coverage",
    "Denoiser",
    "DenoisingLoss",
    "Description",
    "DiffusionModel",
    "Distance",
    "GaussianMixture",
    "Guided",
    "LinearBetas",
    "Neighbours",
    "NetworkDenoiser",
    "Noise",
    "NoisedBatches",
    "PictureEnergy",
    "Quality",
    "Reverse",
    "Sampler",
    "Sampling",
    "Schedule",
    "Share",
    "Sureness",
    "Tuning",
    "UNet",
    "analytic_dpm",
    "analytic_reverse",
    "chosen_threshold",
    "class_coverage",
    "classifier_of",
    "classifier_of_file",
    "compared",
    "confident_share",
    "converted",
    "ddim",
    "ddim_reverse",
    "ddpm",
    "ddpm_reverse",
    "denoising_error",
    "deployed",
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
    "picture_energy",
    "predicted_x0",
    "quadratic",
    "quality",
    "sampled",
    "score",
    "swept",
    "tuned",
    "uniform",
    "warm_start",
    "with_thresholds",
]
