"""`spikesim sample MODEL`: pictures of a trained diffusion model; a run that was stopped keeps its finished pictures.

OUT/grid.png, denoising.gif, pictures.npy (N, C, H, W) uint8, sample.json        OUT/parts   finished batches
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any

import typer

from .common import Json, Out, Root, Seed, Threads, finish, limited, note, progress

IMAGE_HELP = "Picture to start from: with --strength others like it, with --mask the rest of it."


def sample(
    model: Annotated[Path, typer.Argument(help="Folder that `spikesim train` of a [diffusion] TOML wrote.")],
    n: Annotated[int, typer.Option("--n", help="Pictures.")] = 64,
    steps: Annotated[int, typer.Option(help="Denoising steps, at most as many as the model learned.")] = 50,
    sampler: Annotated[str, typer.Option(help="ddim, ddpm, analytic or dpm-solver-2.")] = "ddim",
    threshold: Annotated[
        str,
        typer.Option(help='Factor of all thresholds, of some layers ("down.0.0.first.neuron=0.99,..."), or "auto".'),
    ] = "1",
    labels: Annotated[str, typer.Option(help='Classes in turn, like "3" or "0,1,2", of a conditional model.')] = "",
    guidance: Annotated[float, typer.Option(help="Scale of classifier-free guidance; 1: none.")] = 1.0,
    image: Annotated[Path | None, typer.Option(help=IMAGE_HELP)] = None,
    strength: Annotated[float, typer.Option(help="With --image: share of the steps that are made again.")] = 0.5,
    mask: Annotated[Path | None, typer.Option(help="With --image: white where it is to be filled in.")] = None,
    macro: Annotated[str, typer.Option(help="Sample from an emulated chip of this macro (`spikesim macros`).")] = "",
    out: Out = Path("samples"),
    data: Root = None,
    seed: Seed = 0,
    threads: Threads = 1,
    as_json: Json = False,
) -> None:
    """Sample pictures from noise into a folder. Run again to go on; the same seed gives the same pictures."""
    from dataclasses import replace

    from ..core.files import write_array, write_json
    from ..core.seeds import Seeds
    from ..diffusion.model import DiffusionModel, as_bytes
    from ..diffusion.sampling import Sampler, Sampling
    from ..report.pictures import write_animation, write_grid

    auto = threshold.strip() == "auto"
    wanted = Sampling(sampler, steps, 1.0 if auto else _thresholds(threshold), _labels(labels), guidance)
    found = DiffusionModel.load(model)
    given = _start(found.about, image, mask, strength)
    seeds = Seeds(seed)
    shown: Any = None
    if sampler == "analytic" or macro or auto:
        shown, classes = _training_pictures(found.about, data)
    if auto:
        wanted = replace(wanted, threshold=_least(found, shown, seeds))
    energy: dict[str, Any] = {}
    used = found
    if macro:
        used, energy = _on_chip(found, wanted, macro, shown, seeds)
    made = Sampler(used, wanted, seeds, given=given)
    if sampler == "analytic":
        made = replace(made, squared=made.measured(shown, classes))
    started = time.perf_counter()
    with limited(threads), progress(made.calls(n, out), "sampling") as advance:
        pictures, frames = made.into(out, n, advance)
    seconds = time.perf_counter() - started
    result = {
        "model": str(model), "pictures": n, "sampler": sampler, "steps": steps, "threshold": wanted.threshold,
        "labels": list(wanted.labels), "guidance": guidance, "seed": seed, "time_steps": found.about.steps,
        "size": list(found.about.shape), "trained_on": found.about.data, "seconds": seconds,
        **energy,
    }  # fmt: skip
    write_array(out / "pictures.npy", as_bytes(pictures))
    write_grid(out / "grid.png", as_bytes(pictures))
    write_animation(out / "denoising.gif", frames)
    write_json(out / "sample.json", result)
    lines = [f"{n} pictures in {seconds:.1f} s; written: {out}/grid.png, denoising.gif, pictures.npy"]
    finish(result, [*([energy["energy_text"]] if energy else []), *lines], as_json)


def _on_chip(found: Any, wanted: Any, macro: str, shown: Any, seeds: Any) -> tuple[Any, dict[str, Any]]:
    """The model on a chip, and what a picture costs there."""
    from .. import hardware
    from ..diffusion.on_chip import deployed, picture_energy

    design = hardware.load_macro(macro)
    chip, warnings = deployed(found, design, shown[:64], seeds=seeds.child("macro"))
    for line in warnings:
        note(line)
    energy = picture_energy(found, wanted, seeds=seeds, pictures=2, chip=chip, macro=design)
    return chip, {"macro": macro, "energy_per_picture": energy.as_dict(), "energy_text": str(energy)}


def _thresholds(text: str) -> float | dict[str, float]:
    """ "0.998" as a number, "a=0.99,b=1.01" by layer."""
    from ..units import quantity

    if "=" not in text:
        return quantity(text, "", field="--threshold")
    parts = (part.rsplit("=", 1) for part in text.split(","))
    return {part[0].strip(): quantity(part[-1], "", field="--threshold") for part in parts}


def _least(model: Any, pictures: Any, seeds: Any) -> Any:
    """The factor that errs least on noise that is not sampled from."""
    from ..diffusion.threshold_choice import chosen_threshold

    chosen = chosen_threshold(model, pictures, seeds=seeds.child("validation"))
    note(f"thresholds times {chosen.threshold:g}: error {chosen.value:.5f}, unchanged {chosen.unchanged:.5f}")
    return chosen.threshold


def _labels(text: str) -> tuple[int, ...]:
    from ..errors import ParameterError, must

    parts = [part.strip() for part in text.split(",") if part.strip()]
    if not all(part.isdigit() for part in parts):
        raise ParameterError(must("--labels", 'class numbers, like "0,1,2"', text))
    return tuple(int(part) for part in parts)


def _start(about: Any, image: Path | None, mask: Path | None, strength: float) -> Any:
    """The picture that sampling starts from, and which of its pixels stay; None without one."""
    import torch

    from ..errors import ParameterError, must

    if image is None:
        if mask is not None:
            raise ParameterError(must("--mask", "beside --image, whose rest is filled in", str(mask), "name a picture"))
        return None
    from ..diffusion.model import pictures
    from ..diffusion.sampling import Given
    from ..report.pictures import read_picture

    x = pictures(torch.from_numpy(read_picture(image, about.channels, about.size)[None]), about.size)[0]
    if mask is None:
        return Given(x, strength=strength)
    white = torch.from_numpy(read_picture(mask, 1, about.size)) >= 0.5
    return Given(x, known=~white)


def _training_pictures(about: Any, root: Path | None) -> Any:
    """Some of the pictures that the model was trained on, and their classes."""
    from ..diffusion.experiment import training_images

    return training_images(about.data, about.size, limit=256, root=root)[:2]
