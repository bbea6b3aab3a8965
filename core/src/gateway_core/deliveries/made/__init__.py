"""What is made of a delivery: attempts and a receipt. Imports from `deliveries` and below."""
