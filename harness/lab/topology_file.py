"""Reads a topology file (TOML) and says all that is wrong with it, by key."""

from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

from cattrs import Converter
from cattrs.gen import make_dict_structure_fn, override

from harness import toml_file
from harness.errors import UsageError
from harness.lab.topology import ControlProgram, Listen, Topology, validate

_SHOWN_PROBLEMS = 8
_REMEDY = "correct these keys"


def _converter() -> Converter:
    converter = toml_file.converter()
    converter.register_structure_hook(IPv4Address, lambda value, _: IPv4Address(str(value)))
    converter.register_structure_hook(IPv6Address, lambda value, _: IPv6Address(str(value)))
    converter.register_structure_hook(Listen, lambda value, _: Listen.parse(str(value)))
    converter.register_structure_hook(
        Topology,
        make_dict_structure_fn(
            Topology,
            converter,
            _cattrs_forbid_extra_keys=True,
            hosts=override(rename="host"),
            program=override(omit=True),
            lasting_agent=override(omit=True),
            headscale=override(omit=True),
        ),
    )
    return converter


_CONVERTER = _converter()


def load(file: Path, program: ControlProgram = ControlProgram.HEADSCALE) -> Topology:
    """Read and validate a topology, and give it as it is with a control program.

    Raises UsageError naming the file and every wrong key.
    """
    topology = toml_file.load(
        file, Topology, _CONVERTER, called="topology file", remedy=_REMEDY, renamed={"hosts": "host"}
    )
    if problems := validate(topology):
        more = len(problems) - _SHOWN_PROBLEMS
        shown = [f"{p.where}: {p.what}" for p in problems[:_SHOWN_PROBLEMS]]
        rest = [f"and {more} more"] if more > 0 else []
        raise UsageError(f"{file}: this topology cannot run", remedy=_REMEDY, log="\n".join(shown + rest))
    return _with_policy(topology, file).run_by(program)


def _with_policy(topology: Topology, file: Path) -> Topology:
    """The topology with its policy's path as it is from anywhere. Raises UsageError: no such file."""
    if not topology.policy:
        return topology
    policy = (file.absolute().parent / topology.policy).resolve()
    if not policy.is_file():
        raise UsageError(
            f"{file}: policy names {topology.policy}, which is no file",
            remedy=f"its path is relative to the topology file: {policy}",
        )
    return replace(topology, policy=str(policy))
