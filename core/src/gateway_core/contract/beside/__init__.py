"""Defines buttons, polls and more that a message has beside text and files, and checks them."""
