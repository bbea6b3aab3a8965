"""Groups of a process that delivers nothing: the owner has them; may import what groups may."""
