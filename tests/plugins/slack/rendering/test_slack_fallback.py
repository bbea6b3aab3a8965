"""What notifications show of blocks that have no text beside them."""

from __future__ import annotations

import pytest

from gateway_plugin_slack.rendering.fallback import MOST, fallback_of


def plain(words):
    return {"type": "plain_text", "text": words}


@pytest.mark.parametrize(
    ("blocks", "text"),
    [
        ([{"type": "header", "text": plain("Disk full")}], "Disk full"),
        ([{"type": "section", "fields": [plain("a"), plain("b")]}, {"type": "divider"}], "a b"),
        ([{"type": "header", "text": plain("a")}, {"type": "markdown", "text": "*b*"}], "a\n*b*"),
        ([{"type": "image", "image_url": "https://e.org", "alt_text": "a cat"}], "a cat"),
        ([{"type": "actions", "elements": [{"type": "button", "text": plain("Go")}]}], ""),
        ([{"type": "section", "text": {"type": "mrkdwn", "text": "<!here> & co"}}],
         "&lt;!here&gt; &amp; co"),
        (
            [
                {
                    "type": "rich_text",
                    "elements": [
                        {"type": "rich_text_section", "elements": [{"type": "text", "text": "x"}]}
                    ],
                }
            ],
            "x",
        ),
        ([{"type": "table", "rows": [[{"type": "raw_text", "text": "1"}]]}], "1"),
        ([], ""),
        ("no blocks", ""),
        ([7, None], ""),
    ],
)  # fmt: skip
def test_it_is_the_words_of_the_blocks_and_pings_nobody(blocks, text):
    assert text == fallback_of(blocks)


def test_it_is_no_longer_than_a_notification_shows():
    blocks = [{"type": "section", "text": plain("word " * 500)}] * 2
    assert MOST - 10 < len(fallback_of(blocks)) <= MOST
