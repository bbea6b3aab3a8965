"""The keys that a file knows, and everything in it sealed anew with the first of them."""
