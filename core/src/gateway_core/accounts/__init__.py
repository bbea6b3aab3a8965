"""Performs what an instance needs: sessions, health, probes; may import `plugins` and below."""
