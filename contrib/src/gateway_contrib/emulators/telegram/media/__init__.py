"""Files of the emulated Telegram: their kinds, where they come from, how they are sent."""
