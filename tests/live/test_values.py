"""What a job is told here."""

import pytest

from harness.errors import UsageError
from harness.job.example import EgressPromise, ServePromise, Smoke
from harness.live import values
from tests.live.build import example, serving, told

KNOWN = frozenset(
    {
        *("login_server", "tailnet_domain", "serve_scheme", "tailnet_name", "exit_node", "exit_wait"),
        *("fallback_exit_nodes", "check_url", "expected_egress"),
    }
)


def test_an_egress_job() -> None:
    found = values.given(told(), example(), KNOWN, tailnet_name="mine-1")
    assert found == {
        "login_server": "https://headscale.example.com",
        "tailnet_domain": "tailnet.example.com",
        "serve_scheme": "http",
        "tailnet_name": "mine-1",
        "exit_node": "fra",
        "fallback_exit_nodes": "ams",
        "exit_wait": "10",
        "check_url": "http://check4.example.com/",
        "expected_egress": "203.0.113.4,2001:db8::4,203.0.113.5",
    }


def test_only_variables_that_the_job_has() -> None:
    assert values.given(told(), example(), {"exit_node"}, tailnet_name="x") == {"exit_node": "fra"}


def test_an_exit_that_is_not_there_has_no_fallback() -> None:
    found = values.given(told(), example(), KNOWN, tailnet_name="x", exit_absent=True)
    assert (found["exit_node"], found["fallback_exit_nodes"]) == (values.NO_EXIT, "")


def test_a_page_that_lies() -> None:
    found = values.given(told(), example(), KNOWN, tailnet_name="x", lying_url="http://lie/")
    assert found["check_url"] == "http://lie/"


def test_a_serving_job_is_told_of_no_exit() -> None:
    found = values.given(told(), serving(ServePromise(url="http://{host}/")), KNOWN, tailnet_name="x")
    assert set(found) == {"login_server", "tailnet_domain", "serve_scheme", "tailnet_name"}


def test_a_fallback_that_the_site_lacks_is_left_out() -> None:
    few = told(EXIT_NODES="exit-a=fra 203.0.113.4")
    found = values.given(few, example(), KNOWN, tailnet_name="x")
    assert (found["fallback_exit_nodes"], found["expected_egress"]) == ("", "203.0.113.4")


def test_placeholders() -> None:
    found = values.placeholders(told(), example())
    assert found["echo:https4"] == "http://check4.example.com"
    assert found["echo:https6"] == "http://check6.example.com"
    assert found["echo:http"] == "http://check4.example.com"
    assert found["egress:exit-a"] == "203.0.113.4,2001:db8::4"
    assert values.placeholders(told(CHECK_URL_V6=""), example())["echo:http6"] == "http://check4.example.com"


@pytest.mark.parametrize("name", ["CHECK_URL", "EXIT_NODES"])
def test_what_an_egress_job_needs(name: str) -> None:
    with pytest.raises(UsageError, match=f"^{name}: "):
        values.placeholders(told(**{name: ""}), example())


def test_another_exit_than_the_site_has() -> None:
    other = example(Smoke("egress", egress=EgressPromise(("exit-c",))))
    with pytest.raises(UsageError, match="EXIT_NODES: does not say which exit node exit-c is"):
        values.placeholders(told(), other)


def test_a_serving_job_needs_neither() -> None:
    values.placeholders(told(CHECK_URL="", EXIT_NODES=""), serving(ServePromise(url="http://{host}/")))


@pytest.mark.parametrize(
    ("scheme", "url", "kept"),
    [
        ("http", "https://{host}/", "http://{host}/"),
        ("https", "https://{host}/", "https://{host}/"),
        ("https", "http://{host}/", "http://{host}/"),
        ("http", "", ""),
    ],
)
def test_a_promise_is_kept_by_the_site_s_scheme(scheme: str, url: str, kept: str) -> None:
    assert values.promised(url, told(TAILNET_SERVE_SCHEME=scheme)) == kept
