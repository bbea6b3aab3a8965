"""Plans a text, sans-I/O, as parts that fit; may import `contract` alone.

`cut` cuts plain text. `parse` makes styled text from Markdown, and `literal` from a plain text.
`plan` fills parts with styled text; an adapter's rendering says what a stretch costs.
"""

from gateway_core.text.cut import cut
from gateway_core.text.document import Block, Document, Kind, Span, Style
from gateway_core.text.growing.heal import healed
from gateway_core.text.growing.settled import settled
from gateway_core.text.links import web_address
from gateway_core.text.nesting import Nesting
from gateway_core.text.plan import plan
from gateway_core.text.reading.excerpt import Excerpt
from gateway_core.text.reading.literal import literal, neutral
from gateway_core.text.reading.parse import is_prose, parse
from gateway_core.text.rendering import Rendering
from gateway_core.text.tables import display_width

__all__ = [
    "Block",
    "Document",
    "Excerpt",
    "Kind",
    "Nesting",
    "Rendering",
    "Span",
    "Style",
    "cut",
    "display_width",
    "healed",
    "is_prose",
    "literal",
    "neutral",
    "parse",
    "plan",
    "settled",
    "web_address",
]
