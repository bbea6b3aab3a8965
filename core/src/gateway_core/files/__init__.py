"""The bytes of files: looked at, stored until their messages have ended, and read for attempts."""
