"""The gateway itself, put together, open and closing; may import `config_file` and below."""
