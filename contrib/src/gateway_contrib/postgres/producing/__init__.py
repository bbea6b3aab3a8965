"""For a process that delivers nothing: hands over envelopes, asks the owner, and gets news."""
