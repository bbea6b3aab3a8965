"""Messages that are no text and no file: stickers, locations, dice, polls and their like."""
