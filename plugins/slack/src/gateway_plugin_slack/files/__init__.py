"""The files of a message: start at `checks`; `uploads` has what requests say of them."""
