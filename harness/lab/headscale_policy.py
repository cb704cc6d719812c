"""What an older headscale does not know of a policy: all that the lab has to know of that."""

import re

_LACKS = {"0.28": ("nodeAttrs", "tests")}
"""By minor version, the sections that it refuses to start with (headscale, hscontrol/policy/v2/types.go)."""


def for_version(policy: str, version: str) -> str:
    """Give a policy as a version of headscale can read it.

    Args:
        policy: HuJSON; a section begins and ends at two spaces from the left, as in acl/.
        version: such as 0.28.0; empty for the default, which reads all of it.

    Returns:
        The same text without the sections that the version does not know. What is allowed is not
        in them: they are attributes of nodes, and tests of the policy itself.
    """
    lacks = _LACKS.get(version.rpartition(".")[0], ())
    for section in lacks:
        policy = re.sub(rf'^  "{section}": \[\n.*?^  \],?\n', "", policy, flags=re.MULTILINE | re.DOTALL)
    return policy
