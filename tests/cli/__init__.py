"""The commands as a person gives them."""
