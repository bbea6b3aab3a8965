"""Messages that are neither text nor file: stickers, locations, dice, polls and the like."""
