"""The keys that a schema knows, and everything in it sealed anew with the first of them."""
