"""The page of `gateway explain --html`: each channel's parts as bubbles, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from gateway_contrib.cli.plans import Explained, Piece, seconds

_STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; margin: 1.5rem; background: #eceff1; color: #222 }
main { display: flex; gap: 1.5rem; align-items: flex-start; overflow-x: auto }
section { flex: 1 1 20rem; min-width: 18rem; max-width: 40rem }
h2 { margin: 0 } table { border-collapse: collapse; font-size: 13px; margin: .6rem 0 }
td, th { text-align: left; white-space: nowrap; vertical-align: top; padding: .1rem .8rem .1rem 0; font-weight: normal }
article { background: #fff; border-radius: .2rem 1rem 1rem 1rem; padding: .6rem .9rem;
  margin: .8rem 0; box-shadow: 0 1px 2px #0003 }
pre { font: inherit; margin: 0; overflow-wrap: anywhere; white-space: pre-wrap }
td:first-child { white-space: normal; overflow-wrap: anywhere }
small { display: block; color: #666; margin-top: .4rem } .lost { color: #a50 } .refused { color: #b00 }
"""  # noqa: E501 - a style sheet
_POLICY = "default-src 'none'; style-src 'unsafe-inline'"


def page_of(plans: Sequence[Explained], title: str) -> str:
    """Plain HTML without scripts; whatever the text holds, it is text there."""
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style>"
        f"<h1>{escape(title)}</h1>"
        "<p>The texts as they are sent; styles that travel beside a text are not painted.</p>"
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
        f"the last out after {seconds(plan.last_at)}</div>"
        f"{refused}{_budgets(plan)}{bubbles}</section>"
    )


def _budgets(plan: Explained) -> str:
    rows = "".join(
        f"<tr><td>{escape(budget.bucket)}<td>{budget.count} in {seconds(budget.per)}"
        f"<td>{budget.tokens}"
        for budget in plan.budgets
    )
    return f"<table><tr><th>budget<th>allows<th>taken{rows}</table>" if rows else ""


def _bubble(number: int, piece: Piece, plan: Explained) -> str:
    size = f"{piece.size:,}" + (f" of {plan.limit:,}" if plan.limit is not None else "")
    start, end = piece.span
    lost = f'<small class="lost">{escape("; ".join(piece.degraded))}</small>'
    return (
        f'<article><pre dir="auto">{escape(piece.text)}</pre>'
        f"<small>{number}: {size} {escape(plan.unit)}, source {start:,}\u2013{end:,}, "
        f"after {seconds(piece.at)}</small>{lost if piece.degraded else ''}</article>"
    )
