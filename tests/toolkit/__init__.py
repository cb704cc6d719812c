"""Tests of the toolkit: guard scripts, the egress-worker example, the ACL sample."""
