"""Draws the page and the picture of `gateway explain`: parts as bubbles, channels side by side."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from gateway_contrib.cli.explain.plans import Explained, Piece, later, seconds
from gateway_contrib.cli.painting.drawn import Bubble, Column, drawn
from gateway_contrib.cli.painting.marked import STYLE, marked
from gateway_contrib.cli.painting.tiles import Tile

_STYLE = f"""
body {{ font: 15px/1.45 system-ui, sans-serif; margin: 1.5rem; background: #eceff1; color: #222 }}
main {{ display: flex; gap: 1.5rem; align-items: flex-start; overflow-x: auto }}
section {{ flex: 1 1 20rem; min-width: 18rem; max-width: 40rem }}
h2 {{ margin: 0; text-transform: capitalize }}
table {{ border-collapse: collapse; font-size: 13px; margin: .6rem 0 }}
td, th {{ text-align: left; white-space: nowrap; vertical-align: top; padding: .1rem .8rem .1rem 0;
  font-weight: normal }}
th {{ color: #666 }}
article {{ background: #fff; border-radius: .2rem 1rem 1rem 1rem; padding: .6rem .9rem;
  margin: .8rem 0; box-shadow: 0 1px 2px #0003 }}
td:first-child {{ white-space: normal; overflow-wrap: anywhere }}
small {{ display: block; color: #666; margin-top: .4rem }}
meter {{ width: 4rem; height: .7rem; vertical-align: middle }}
.files {{ display: flex; flex-wrap: wrap; gap: .3rem; margin: .2rem 0 }}
.files span {{ flex: 1 1 30%; min-height: 3.2rem; padding: .3rem; border-radius: .4rem;
  background: #dfe5ea; font-size: 12px; overflow-wrap: anywhere }}
.files .hidden {{ background: #9aa1a9 }}
.lost {{ color: #a50 }} .refused {{ color: #b00 }}
{STYLE}"""
WORTH_TELLING = 0.5
"""The share of a bound from which a part shows this bound, if it is not the text's own bound."""

_POLICY = "default-src 'none'; style-src 'unsafe-inline'"


def page_of(plans: Sequence[Explained], title: str) -> str:
    """Plain HTML without scripts; everything in the text is escaped."""
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style>"
        f"<h1>{escape(title)}</h1>"
        "<p>Each message as its platform shows it, near enough; sizes as the platform counts.</p>"
        f"<main>{''.join(map(_column, plans))}</main></html>\n"
    )


def _column(plan: Explained) -> str:
    count = len(plan.pieces)
    refused = "".join(f'<p class="refused">refused: {escape(why)}</p>' for why in plan.refused)
    who = f"<div>{escape(plan.instance)}</div>" if plan.instance != plan.channel else ""
    bubbles = "".join(_bubble(number, piece, plan) for number, piece in enumerate(plan.pieces, 1))
    return (
        f"<section><h2>{escape(plan.channel)}</h2>{who}"
        f"<div>{count} message{'s' * (count != 1)}, "
        f"{'the last ' * (count != 1)}out {later(plan.last_at)}</div>"
        f"{refused}{_budgets(plan)}{bubbles}</section>"
    )


def _budgets(plan: Explained) -> str:
    rows = "".join(
        f"<tr><td>{_breakable(budget.bucket)}<td>{budget.count} in {seconds(budget.per)}"
        f"<td>{budget.tokens}"
        for budget in plan.budgets
    )
    return f"<table><tr><th>budget<th>allows<th>taken{rows}</table>" if rows else ""


def _breakable(name: str) -> str:
    """A bucket's name as HTML that may be wrapped between the parts of the name."""
    return escape(name).replace("/", "/<wbr>").replace(":", ":<wbr>")


def _bubble(number: int, piece: Piece, plan: Explained) -> str:
    seen = [_files(piece), marked(piece.lines)]
    shown = "".join(seen if piece.files_first else reversed(seen))
    lost = f'<small class="lost">{escape("; ".join(piece.degraded))}</small>'
    return (
        f"<article>{shown}<small>{number}: {_size(piece, plan)}, "
        f"{said_of(piece)}</small>{lost if piece.degraded else ''}</article>"
    )


def _files(piece: Piece) -> str:
    """The part's files, side by side."""
    shown = "".join(
        f"<span{' class=hidden' if file.spoiler else ''}>{escape(file.said)}</span>"
        for file in piece.files
    )
    return f'<div class="files">{shown}</div>' if shown else ""


def _size(piece: Piece, plan: Explained) -> str:
    if not piece.bounds:
        return f"{piece.size:,} {escape(plan.unit)}"
    nearest = piece.bounds[0]
    share = f'<meter max="{nearest.limit}" value="{nearest.size}"></meter>'
    return f"{share} {escape(_told(piece, plan))}"


def _told(piece: Piece, plan: Explained) -> str:
    """The size and the text's bound; also the nearest bound, if the part fills much of it."""
    nearest = piece.bounds[0]
    told = [bound for bound in piece.bounds if bound.unit == plan.unit]
    told += [nearest] if nearest.unit != plan.unit and nearest.share > WORTH_TELLING else []
    return ", ".join(f"{bound.size:,} of {bound.limit:,} {bound.unit}" for bound in told)


def said_of(piece: Piece) -> str:
    """Where in the text a part comes from, and when it is out."""
    start, end = piece.span
    return f"source {start:,}\u2013{end:,}, out {later(piece.at)}"


def picture_of(plans: Sequence[Explained], title: str) -> str:
    """The parts of each channel side by side, as SVG."""
    columns = []
    for plan in plans:
        name = plan.channel.capitalize()
        who = name if plan.instance == plan.channel else f"{name} ({plan.instance})"
        columns.append(Column(who, [_drawn(piece, plan) for piece in plan.pieces]))
    return drawn(columns, title)


def _drawn(piece: Piece, plan: Explained) -> Bubble:
    told = _told(piece, plan) if piece.bounds else f"{piece.size:,} {plan.unit}"
    note = "; ".join([told, *piece.degraded])
    files = [Tile(file.said, hidden=file.spoiler) for file in piece.files]
    return Bubble(piece.lines, note, files, tiles_first=piece.files_first)
