"""Are emulated recordings like real ones? The emulator's statistics against N-MNIST recordings of the same images.

    python -m benchmarks.emulator_statistics --data DIR [--limit N]

DIR holds nmnist_small.npz (or an N-MNIST folder) and mnist.npz. Writes benchmarks/results/emulator_statistics.json
and docs/figures/emulator.png. What is measured, and the bars it is held to:

    events          mean and deviation of events per recording           mean within 10 %, deviation within 15 %
    on_share        share of ON events                                   0.45 to 0.55
    bursts          correlation of the event rate over time, 5 ms bins   at least 0.9
    rate_map        correlation of events per pixel over all recordings  at least 0.8
    repeats         share of events that are not the first of their bin, pixel and polarity at T = 100, within 20 %
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from spikesim.core.files import write_json, written
from spikesim.core.seeds import Seeds
from spikesim.datasets import EventCamera, EventDataset, emulate, images_of, load, load_images

HERE = Path(__file__).parent
BIN_US, BINS = 5_000, 64
STEPS = 100
BARS = {
    "events_mean_ratio": (0.9, 1.1),
    "events_sd_ratio": (0.85, 1.15),
    "on_share": (0.45, 0.55),
    "bursts_correlation": (0.9, 1.0),
    "rate_map_correlation": (0.8, 1.0),
    "repeats_ratio": (0.8, 1.2),
}


def rate(data: EventDataset) -> np.ndarray:
    """Events per recording and millisecond, (2, BINS): rows OFF and ON, bins of 5 ms."""
    bins = np.minimum(data.t // BIN_US, BINS - 1)
    per_bin = [np.bincount(bins[data.p == p], minlength=BINS) for p in (0, 1)]
    return np.array(per_bin) / len(data) / (BIN_US / 1000)


def repeats(data: EventDataset) -> float:
    """Share of events that are not the first of their time bin, pixel and polarity at T = 100."""
    firsts = sum(int((data.raster(STEPS, [i]) > 0).sum()) for i in range(len(data)))
    return 1 - firsts / len(data.t)


def unevenness(data: EventDataset) -> float:
    """Deviation of the mean map around its own blurred self, as a share, in the middle of the sensor."""
    from scipy.ndimage import gaussian_filter

    mean = data.frames().sum((0, 1)).numpy()
    return float((mean / gaussian_filter(mean, 1.2))[10:24, 12:22].std())


def described(data: EventDataset) -> dict[str, Any]:
    """The statistics of one set of recordings by themselves."""
    counts = np.diff(data.offsets)
    pixel = np.repeat(np.arange(len(data)), counts) * data.sensor[0] * data.sensor[1]
    pixel += data.y.astype(np.int64) * data.sensor[1] + data.x
    order = np.argsort(pixel, kind="stable")
    pause = np.diff(data.t[order])[np.diff(pixel[order]) == 0]
    return {
        "recordings": len(data),
        "events_mean": float(counts.mean()),
        "events_sd": float(counts.std()),
        "on_share": float(data.p.mean()),
        "repeats": repeats(data),
        "map_unevenness": unevenness(data),
        "pause_us_percentiles": {str(q): float(np.percentile(pause, q)) for q in (1, 10, 50, 90)},
    }


def _correlations(a: np.ndarray, b: np.ndarray) -> float:
    """Mean over rows of the correlation of row i of a with row i of b."""
    a, b = a.reshape(len(a), -1), b.reshape(len(b), -1)
    a, b = a - a.mean(1, keepdims=True), b - b.mean(1, keepdims=True)
    return float(np.mean((a * b).sum(1) / np.sqrt((a * a).sum(1) * (b * b).sum(1))))


def compared(real: EventDataset, emulated: EventDataset) -> dict[str, Any]:
    """Both sets, recording by recording: the figures held to BARS, and how alike single recordings are."""
    first, second = described(real), described(emulated)
    frames = real.frames().numpy(), emulated.frames().numpy()
    early = real.raster(12).numpy().swapaxes(0, 1), emulated.raster(12).numpy().swapaxes(0, 1)
    held = {
        "events_mean_ratio": second["events_mean"] / first["events_mean"],
        "events_sd_ratio": second["events_sd"] / first["events_sd"],
        "on_share": second["on_share"],
        "bursts_correlation": float(np.corrcoef(rate(real).sum(0), rate(emulated).sum(0))[0, 1]),
        "rate_map_correlation": float(np.corrcoef(*(f.sum((0, 1)).ravel() for f in frames))[0, 1]),
        "repeats_ratio": second["repeats"] / first["repeats"],
    }
    return {
        "real": first,
        "emulated": second,
        "held": held,
        "bars": {name: list(bar) for name, bar in BARS.items()},
        "met": {name: bool(low <= held[name] <= high) for name, (low, high) in BARS.items()},
        "recording_by_recording": {
            "frame_correlation": _correlations(*(f.sum(1) for f in frames)),
            "off_frame_correlation": _correlations(*(f[:, 0] for f in frames)),
            "on_frame_correlation": _correlations(*(f[:, 1] for f in frames)),
            "raster_12_steps_correlation": _correlations(*early),
            "raster_12_steps_correlation_polarities_swapped": _correlations(early[0], early[1][:, :, ::-1]),
        },
    }


def drawn(real: EventDataset, emulated: EventDataset, path: Path, example: int = 0) -> None:
    """The picture: event rate over time, rate maps, one recording in both, events per recording."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    both = {"N-MNIST": real, "emulated": emulated}
    colours = {"N-MNIST": "#1f3b57", "emulated": "#d1603d"}
    figure, axes = plt.subplots(3, 4, figsize=(12, 8.5), layout="constrained")
    grid = axes[0, 0].get_gridspec()
    for axis in (*axes[0, :2], *axes[0, 2:]):
        axis.remove()
    wide, counts = figure.add_subplot(grid[0, :2]), figure.add_subplot(grid[0, 2:])
    for name, data in both.items():
        wide.plot(np.arange(BINS) * BIN_US / 1000, rate(data).sum(0), color=colours[name], label=name)
        events = np.diff(data.offsets)
        counts.hist(events, np.arange(0, 9000, 300), histtype="step", lw=1.6, color=colours[name], label=name)
    wide.set(title="Event rate, mean of all recordings", xlabel="time (ms)", ylabel="events per ms")
    counts.set(title="Events per recording", xlabel="events", ylabel="recordings")
    wide.set_ylim(0, 38)
    wide.legend(frameon=False, ncols=2, loc="upper right")
    counts.legend(frameon=False)
    highest = max(float(data.frames().sum((1,)).mean(0).max()) for data in both.values())
    for row, (name, data) in zip(axes[1:], both.items()):
        image = row[0].imshow(data.frames().sum(1).mean(0), cmap="magma", vmin=0, vmax=highest)
        figure.colorbar(image, ax=row[0], shrink=0.8, label="events a pixel")
        row[0].set_title(f"{name}: mean map")
        stream, label = data[example]
        for axis, (start, end) in zip(row[1:], ((0, 100), (100, 210), (210, 320))):
            frame = stream.window(start * 1000, end * 1000).frame()[0].numpy()
            axis.imshow(frame[1] - frame[0], cmap="RdBu", vmin=-6, vmax=6)
            axis.set_title(f"{name}: a {label}, {start} to {end} ms", fontsize=10)
    for axis in axes[1:].ravel():
        axis.set(xticks=[], yticks=[])
    axes[2, 1].set_xlabel("ON minus OFF events: blue ON, red OFF")
    with written(path) as temporary:
        figure.savefig(temporary, dpi=130)
    plt.close(figure)


def main() -> None:
    """Measure, write JSON and picture, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=None, help="folder with nmnist_small.npz and mnist.npz")
    parser.add_argument("--limit", type=int, default=0, help="use every k-th recording so that about so many remain")
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    real = load("nmnist", root=chosen.data)
    if chosen.limit:
        real = real.subset(np.arange(0, len(real), max(len(real) // chosen.limit, 1)))
    images = images_of(real, load_images("mnist", root=chosen.data))
    emulated = emulate(images, EventCamera(), Seeds(chosen.seed))
    found = compared(real, emulated)
    if not chosen.limit:
        write_json(HERE / "results" / "emulator_statistics.json", found)
        drawn(real, emulated, HERE.parent / "docs" / "figures" / "emulator.png")
    for name, value in found["held"].items():
        low, high = BARS[name]
        print(f"{name:<24} {value:7.3f}   bar {low} to {high}   {'met' if found['met'][name] else 'MISSED'}")


if __name__ == "__main__":
    main()
