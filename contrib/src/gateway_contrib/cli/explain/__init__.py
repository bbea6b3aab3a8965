"""`gateway explain`: what would become of a text, before anything is sent."""
