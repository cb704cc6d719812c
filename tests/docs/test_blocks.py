"""How the commands of a document are found, and what is no way to write them."""

from pathlib import Path

import pytest

from tests.docs.blocks import blocks, missing

FILE = Path("some.md")
GOOD = """
Text.

<!-- run: node -->

```sh
nomad job status
```

<!-- printed -->
```text
ID ... running
```

1. A list:

   <!-- not run: it needs a cluster -->
   ```sh
   nomad \\
     status
   ```

```hcl
a = 1
```
"""


def test_blocks_are_found_with_what_is_said_of_them() -> None:
    first, second = blocks(FILE, GOOD)
    assert (first.script, first.place, first.printed) == ("nomad job status", "node", ("ID ... running",))
    assert (second.script, second.reason) == ("nomad \\\n  status", "it needs a cluster")
    assert str(second) == "some.md:18"


@pytest.mark.parametrize(
    "text",
    [
        "```sh\nls\n```",
        "<!-- run: moon -->\n```sh\nls\n```",
        "<!-- not run: -->\n```sh\nls\n```",
        "<!-- run: node -->\nBut first:\n```sh\nls\n```",
        "<!-- run: node -->\n```bash\nls\n```",
        "```\nls\n```",
        "<!-- printed -->\n```text\nls\n```",
        "<!-- not run: no -->\n```sh\nls\n```\n<!-- printed -->\n```text\nls\n```",
    ],
)
def test_a_block_that_nobody_answers_for_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"some.md:\d+"):
        blocks(FILE, text)


def test_what_is_printed_is_looked_for_in_order() -> None:
    output = "one   1\ntwo 2\nthree 3\n"
    assert not missing(("one 1", "three ..."), output)
    assert not missing(("... 2",), output)
    assert missing(("two 2", "one 1"), output) == "one 1"
    assert missing(("four",), output) == "four"
    assert missing(("one 1", "one 1"), output) == "one 1"
