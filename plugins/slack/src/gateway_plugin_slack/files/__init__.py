"""The files of a message: start at `checks`; `uploads` makes the requests that share them."""
