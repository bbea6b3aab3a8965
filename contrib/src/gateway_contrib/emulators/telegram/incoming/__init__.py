"""What people do on the emulated Telegram."""
