"""Tests of the live site: its pure parts, and the whole of it against a cluster that plays a real one."""
