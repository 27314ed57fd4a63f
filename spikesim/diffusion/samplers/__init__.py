"""Ways from noise to pictures. Read `reverse.py`, the loop; then `ddpm`, `ddim`, `analytic_dpm`; `dpm_solver2` has its own loop.

Every one is (denoiser, schedule, noise, ...) -> pictures (B, C, H, W); fewer steps are a schedule of fewer steps.
"""

from .analytic_dpm import analytic_dpm, analytic_reverse, mean_squared_noise
from .ddim import ddim, ddim_reverse
from .ddpm import ddpm, ddpm_reverse
from .dpm_solver2 import dpm_solver2
from .image_to_image import image_to_image
from .inpaint import inpaint
from .reverse import Reverse, sampled

__all__ = [
    "Reverse",
    "analytic_dpm",
    "analytic_reverse",
    "ddim",
    "ddim_reverse",
    "ddpm",
    "ddpm_reverse",
    "dpm_solver2",
    "image_to_image",
    "inpaint",
    "mean_squared_noise",
    "sampled",
]
