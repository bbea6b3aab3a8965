"""Messages of the emulated Telegram: how one is made, found again and changed."""
