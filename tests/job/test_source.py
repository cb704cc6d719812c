"""Lines and variables of a job file."""

import pytest

from harness.job import source
from harness.job.source import Variable

TEXT = """# image = "in/a:comment"
variable "image" {
  description = "what default = there is"
  type        = string
  default     = "mine:1"
}

variable "exit" {
  type = string
}

variable "count" { # how many
  type    = number
  default = 3
}

job "mine" {
  group "g" {
    task "one" {
      config {
        image = var.image
      }
    }
    task "two" {
      config {
        image = "other:2"
      }
    }
    task "three" {
      config {
        image = "${var.registry}/x:${var.version}"
      }
    }
  }
}
"""


def test_variables_with_their_lines_and_defaults() -> None:
    assert source.variables(TEXT) == {
        "image": Variable("image", 2, "mine:1"),
        "exit": Variable("exit", 8, None),
        "count": Variable("count", 12, ""),
    }


def test_a_file_without_variables() -> None:
    assert source.variables('job "x" {}') == {}


@pytest.mark.parametrize(
    ("task", "image", "line"),
    [("one", "mine:1", 5), ("two", "other:2", 26), ("three", "r/x:1", 31), ("made", "r/x:1", 1)],
)
def test_the_line_of_an_image(task: str, image: str, line: int) -> None:
    assert source.line_of_image(TEXT, task, image) == line


def test_a_comment_is_no_line_of_anything() -> None:
    assert source.line_of(TEXT, "in/a:comment") == 1
    assert source.line_of_task(TEXT, "two") == 24
