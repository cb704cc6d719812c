"""headscale's answers, as a real one gave them, read into what the harness knows."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from harness.errors import LabError
from harness.ledger.facts import TailnetNode
from harness.management.headscale import HeadscaleClient, User
from tests.management.recorded import recorded

API_KEY = "hskey-api-SECRETSECRETSECRET"


def client(answer: Callable[[httpx.Request], httpx.Response]) -> HeadscaleClient:
    return HeadscaleClient(httpx.MockTransport(answer), API_KEY)


def answering(data: Any, kept: list[httpx.Request] | None = None, status: int = 200) -> HeadscaleClient:  # noqa: ANN401 - JSON
    def answer(request: httpx.Request) -> httpx.Response:
        if kept is not None:
            kept.append(request)
        return httpx.Response(status, json=data)

    return client(answer)


def test_nodes() -> None:
    nodes = {n.name: n for n in answering(recorded("headscale-nodes")).nodes()}
    assert set(nodes) == {"client", "stranger", "exit-a", "exit-b"}
    client_node, exit_node = nodes["client"], nodes["exit-a"]
    assert client_node == TailnetNode(
        id=client_node.id,
        name="client",
        addresses=client_node.addresses,
        tags=(),
        user="platform@example.com",
        ephemeral=True,
        online=True,
    )
    assert [a.split(".")[0].split(":")[0] for a in client_node.addresses] == ["100", "fd7a"]
    assert exit_node.tags == ("tag:exit",)
    # What headscale writes for a node that belongs to its tags and to nobody.
    assert exit_node.user == "tagged-devices"


def test_a_node_of_which_little_is_known() -> None:
    (node,) = answering({"nodes": [{"id": 7}]}).nodes()
    assert node == TailnetNode("7", "", (), (), "", ephemeral=False, online=False)


def test_a_node_is_deleted_by_its_id() -> None:
    kept: list[httpx.Request] = []
    answering({}, kept).delete("7")
    assert [(r.method, r.url.path) for r in kept] == [("DELETE", "/api/v1/node/7")]
    answering({"message": "node not found"}, status=404).delete("7")
    with pytest.raises(LabError, match="refused DELETE /api/v1/node/7"):
        answering({"message": "no"}, status=500).delete("7")


def test_an_empty_tailnet() -> None:
    assert answering({"nodes": []}).nodes() == ()


def test_a_user_is_known_by_the_mail_address_that_policies_name() -> None:
    kept: list[httpx.Request] = []
    user = recorded("headscale-users")["users"][0]
    assert answering({"user": user}, kept).create_user(user["name"]) == User(user["id"], user["name"])
    assert json.loads(kept[0].content) == {"name": user["name"], "email": user["name"]}


def test_a_key_for_tags() -> None:
    kept: list[httpx.Request] = []
    key = answering({"preAuthKey": {"key": "hskey-auth-x"}}, kept).create_key(tags=("tag:a",), ephemeral=True)
    body = json.loads(kept[0].content)
    assert key == "hskey-auth-x"
    assert (body["aclTags"], body["ephemeral"], body["reusable"]) == (["tag:a"], True, False)
    assert "user" not in body
    expires = datetime.fromisoformat(body["expiration"])
    assert timedelta(minutes=59) < expires - datetime.now(UTC) <= timedelta(hours=1)
    assert body["expiration"].endswith("Z")


def test_a_key_for_a_user() -> None:
    kept: list[httpx.Request] = []
    made = answering({"preAuthKey": {"key": "k"}}, kept)
    made.create_key(user=User("2", "x@example.com"), ephemeral=False, reusable=True)
    body = json.loads(kept[0].content)
    assert (body["user"], body["aclTags"], body["reusable"]) == ("2", [], True)


def test_the_api_key_goes_into_a_header_and_nowhere_else() -> None:
    kept: list[httpx.Request] = []
    answering({"nodes": []}, kept).nodes()
    assert kept[0].headers["Authorization"] == f"Bearer {API_KEY}"
    assert kept[0].url == "http://headscale/api/v1/node"


def test_an_error_is_in_headscales_own_words_and_has_no_key() -> None:
    with pytest.raises(LabError, match=r"headscale refused GET /api/v1/node \(401\)") as caught:
        answering({"message": "unauthorised"}, status=401).nodes()
    assert "unauthorised" in caught.value.log

    def broken(_: httpx.Request) -> httpx.Response:
        raise httpx.ReadError("torn")

    with pytest.raises(LabError, match="headscale does not answer GET /api/v1/node: torn") as caught:
        client(broken).nodes()
    assert API_KEY not in str(caught.value)


def test_an_answer_that_is_none_is_an_error_of_the_lab() -> None:
    with pytest.raises(LabError, match="headscale does not speak"):
        client(lambda _: httpx.Response(200, text="<html>")).nodes()
