"""Hands envelopes over to another process, which delivers them; may import what submission may."""
