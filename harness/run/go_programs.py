"""What programs written in Go are told of memory, where the harness starts them: Docker, Nomad, Consul."""

from collections.abc import Mapping

SPARED: Mapping[str, str] = {"GOGC": "800", "GOMEMLIMIT": "256MiB"}
"""Variables by which a program collects garbage when there is much of it, and not each four megabytes.

A Nomad agent starts its own binary twice for each task, to keep its log: processes of 40 ms, of which 12
were spent on collecting what their end frees anyway. The limit keeps those that stay from growing by it.
Source: https://pkg.go.dev/runtime#hdr-Environment_Variables.
"""
