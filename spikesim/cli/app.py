"""The verbs and their options. Importing this imports no torch: each verb loads what it needs when it runs."""

from __future__ import annotations

import typer

from . import convert, data, demo, energy, info, macros, retrain, sample, simulate, sweep, train, zeroshot

app = typer.Typer(
    name="spikesim",
    help="Convert trained ANNs to spiking networks, simulate event data, estimate energy on emulated macros.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode=None,
)
app.command("demo")(demo.demo)
app.command("convert")(convert.convert)
app.command("simulate")(simulate.simulate)
app.command("energy")(energy.energy)
app.command("sweep")(sweep.sweep)
app.command("train")(train.train)
app.command("retrain")(retrain.retrain)
app.command("sample")(sample.sample)
app.command("zeroshot")(zeroshot.zeroshot)
app.add_typer(data.app, name="data")
app.command("macros")(macros.macros)
app.command("info")(info.info)
