"""Draws the documentation's plots from the figures of `bench.tuning` and `bench.recovery`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib as mpl

mpl.use("svg")
from matplotlib import pyplot as plt
from matplotlib.ticker import LogLocator, NullFormatter

if TYPE_CHECKING:
    from bench.tuning import Outcome

COLOURS = ("#1f77b4", "#d62728")
STYLE = {
    "svg.hashsalt": "gateway",  # the same figures give the same file
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.3,
    "legend.frameon": False,
}
Lines = Mapping[str, "Sequence[Outcome]"]


def draw(found: Mapping[str, tuple[Sequence[int], Lines]], into: Path) -> None:
    into.mkdir(parents=True, exist_ok=True)
    for setting, (values, lines) in found.items():
        path = into / f"{setting.replace('_', '-')}.svg"
        with mpl.rc_context(STYLE):
            _figure(setting, values, lines, path)
        print(f"wrote {path}")


def draw_recovery(curves: Mapping[str, Sequence[int]], path: Path) -> None:
    """Draw how many messages arrived in each second, around a fault."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with mpl.rc_context(STYLE):
        figure, panels = plt.subplots(1, len(curves), figsize=(9, 2.6), constrained_layout=True)
        for panel, (name, counts) in zip(panels, curves.items(), strict=True):
            panel.step(range(len(counts)), counts, where="post", color=COLOURS[0])
            panel.set_title(name)
            panel.set_xlabel("seconds")
            panel.set_ylim(bottom=0)
        panels[0].set_ylabel("messages a second")
        figure.savefig(path, metadata={"Date": None, "Creator": "bench.recovery"})
        plt.close(figure)
    print(f"wrote {path}")


def _figure(setting: str, values: Sequence[int], lines: Lines, path: Path) -> None:
    figure, panels = plt.subplots(1, 3, figsize=(11, 3.2), constrained_layout=True)
    throughput, wait, third = panels
    for colour, (name, outcomes) in zip(COLOURS, lines.items(), strict=True):
        looks = {"color": colour, "marker": "o", "markersize": 3}
        throughput.plot(values, [o.throughput for o in outcomes], label=name, **looks)
        wait.plot(values, [o.wait_p95 for o in outcomes], label=f"{name}, p95", **looks)
        wait.plot(values, [o.wait_p50 for o in outcomes], linestyle=":", **looks)
        _third(setting, third, values, outcomes, looks)
    throughput.set_title("messages a second")
    wait.set_title("seconds to the end: p95, median (dotted)")
    wait.set_yscale("log")
    wait.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    wait.yaxis.set_major_formatter("{x:g}")
    wait.yaxis.set_minor_formatter(NullFormatter())
    for panel in panels:
        panel.set_xscale("log", base=2)
        panel.set_xticks(values, [str(value) for value in values])
        panel.set_xlabel(setting)
    throughput.set_ylim(bottom=0)
    third.set_ylim(bottom=0)
    throughput.legend(loc="best")
    figure.savefig(path, metadata={"Date": None, "Creator": "bench.tuning"})
    plt.close(figure)


def _third(
    setting: str,
    panel: Any,
    values: Sequence[int],
    outcomes: Sequence[Outcome],
    looks: Mapping[str, Any],
) -> None:
    """Draw how full partitions get; for `partition_count`, also how evenly the load is spread."""
    if setting == "partition_count":
        panel.plot(values, [o.occupancy for o in outcomes], **looks)
        panel.plot(values, [max(o.shares) for o in outcomes], linestyle="--", **looks)
        panel.set_title("fullest partition: depth / bound; share of all (dashed)")
    else:
        panel.plot(values, [o.high for o in outcomes], **looks)
        panel.plot(values, [o.refused for o in outcomes], linestyle="--", **looks)
        panel.set_title("share of time under high pressure; refused (dashed)")
