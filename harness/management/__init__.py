"""Speaks with what runs in the lab over the Docker API alone: commands, streams, and HTTP on top of them."""
