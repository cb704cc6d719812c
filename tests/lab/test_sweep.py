"""Two runs that begin in the same moment sweep the same dead run; neither fails by the other."""

from collections.abc import Callable
from http import HTTPStatus

import docker.errors
import pytest
import requests

from harness.lab.sweep import _removed


def answered(status: HTTPStatus) -> docker.errors.APIError:
    response = requests.Response()
    response.status_code = status
    kind = docker.errors.NotFound if status is HTTPStatus.NOT_FOUND else docker.errors.APIError
    return kind("engine", response=response)


def removing(error: Exception | None) -> Callable[[], None]:
    def remove() -> None:
        if error:
            raise error

    return remove


def test_what_is_gone_is_removed() -> None:
    assert _removed(removing(None))


@pytest.mark.parametrize("status", [HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT])
def test_what_another_run_removes_is_left_to_it(status: HTTPStatus) -> None:
    assert not _removed(removing(answered(status)))


def test_any_other_refusal_is_told() -> None:
    with pytest.raises(docker.errors.APIError):
        _removed(removing(answered(HTTPStatus.INTERNAL_SERVER_ERROR)))
