"""Makes a delivery's attempts and its receipt. Imports from `deliveries` and below."""
