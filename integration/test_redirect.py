# SPDX-License-Identifier: Apache-2.0
"""A client that reaches the wrong node gets to the owner, by the strongest way it understands."""
import subprocess
import urllib.parse

import pytest

from harness.http import Raw, quote, request
from harness.wait import wait_for
from harness.ws import PROTOCOL, Client, RawClient


def upgrade(node, key, lines=(), query=""):
    """A WebSocket handshake with exactly these further header lines; returns the response."""
    head = [f"GET /v1/channels/{quote(key)}/ws{query} HTTP/1.1", f"Host: {node.host}",
            "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13",
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", *lines]
    with Raw(node.client_port) as raw:
        raw.send(("\r\n".join(head) + "\r\n\r\n").encode())
        return raw.response()


def query_of(url):
    return dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(url).query))


# --- route 1: a client that asks first -----------------------------------------------------------

def test_where_names_the_owner_and_its_urls_on_every_node(steady):
    for number in range(30):
        key = f"where/{number} é"
        owner = steady.owner(key)
        for node in steady.running():
            answer = node.where(key)
            base = f"{owner.host}/v1/channels/{quote(key)}"
            assert answer == {
                "key": key, "node": owner.id, "epoch": node.ring()["epoch"],
                "ws": f"ws://{base}/ws", "events": f"http://{base}/events",
                "messages": f"http://{base}/messages"}


def test_the_url_of_where_leads_straight_to_a_welcome(steady, key):
    client = Client(steady.wrong_node(key).where(key)["ws"])
    assert client.welcome()["node"] == steady.owner(key).id
    client.close()


# --- route 2: a WebSocket client that knows ringhop.v1 -------------------------------------------

def test_a_ringhop_client_is_told_moved_and_closed_with_4307(steady, key):
    owner = steady.owner(key)
    client = Client(steady.wrong_node(key).ws_url(key))
    assert client.subprotocol == PROTOCOL
    moved = client.wait_event("moved")
    assert moved["node"] == owner.id
    assert "seq" not in moved
    assert moved["url"].startswith(f"{owner.ws}/v1/channels/{quote(key)}/ws")
    assert client.wait_closed() == 4307
    assert [event["type"] for event in client.events] == ["moved"]

    there = Client(moved["url"])
    assert there.welcome()["node"] == owner.id
    there.close()


def test_moved_keeps_the_position_of_the_client(steady, key):
    owner, wrong = steady.owner(key), steady.wrong_node(key)
    first = owner.publish(key, "one").json()
    owner.publish(key, "two")
    position = f"{first['incarnation']}:{first['seq']}"
    moved = Client(wrong.ws_url(key, after=position)).wait_event("moved")
    assert query_of(moved["url"])["after"] == position
    there = Client(moved["url"])
    assert there.welcome()["recovered"] is True
    assert [message["data"] for message in there.wait_messages(1)] == ["two"]
    there.close()


def test_the_owner_welcomes_with_the_subprotocol(steady, key):
    client = Client(steady.owner(key).ws_url(key))
    assert client.subprotocol == PROTOCOL
    assert client.welcome()["recovered"] is True
    client.close()


# --- route 3: 307 --------------------------------------------------------------------------------

AGENT = "User-Agent: something/1.0"


def test_307_to_a_websocket_client_has_no_scheme(steady, key):
    owner = steady.owner(key)
    answer = upgrade(steady.wrong_node(key), key, [AGENT])
    assert answer.status == 307
    assert answer.headers["location"].startswith(f"//{owner.host}/v1/channels/{quote(key)}/ws?")
    assert answer.headers["ringhop-node"] == owner.id
    assert int(answer.headers["ringhop-epoch"]) == owner.ring()["epoch"]
    assert answer.headers["access-control-allow-origin"] == "*"


def test_307_to_a_websocket_client_without_user_agent_is_absolute(steady, key):
    owner = steady.owner(key)
    answer = upgrade(steady.wrong_node(key), key)
    assert answer.status == 307
    assert answer.headers["location"].startswith(f"ws://{owner.host}/v1/channels/{quote(key)}/ws?")


def test_307_to_a_poll_is_an_http_url(steady, key):
    owner = steady.owner(key)
    answer = steady.wrong_node(key).poll(key, after="0", limit=7)
    assert answer.status == 307
    location = answer.headers["location"]
    assert location.startswith(f"http://{owner.host}/v1/channels/{quote(key)}/messages?")
    assert query_of(location)["after"] == "0"
    assert query_of(location)["limit"] == "7"
    assert answer.headers["ringhop-node"] == owner.id
    assert "ringhop-epoch" in answer.headers
    assert "access-control-allow-origin" in answer.headers


def test_a_long_poll_is_redirected_at_once_and_waits_at_the_owner(steady, key):
    owner, wrong = steady.owner(key), steady.wrong_node(key)
    answer = wrong.poll(key, wait=30)
    assert answer.status == 307
    assert query_of(answer.headers["location"])["wait"] == "30"
    answer = request(f"{wrong.url}/v1/channels/{quote(key)}/messages?wait=1", follow=3)
    assert answer.status == 200
    assert answer.json()["messages"] == []
    owner.publish(key, "x")


def test_a_chain_carries_hops_and_epoch(steady, key):
    wrong = steady.wrong_node(key)
    query = query_of(wrong.poll(key).headers["location"])
    assert query["hops"] == "1"
    assert int(query["epoch"]) == wrong.ring()["epoch"]


# --- bounds --------------------------------------------------------------------------------------

# At the bound a node relays, except those that want to be redirected: integration/test_relay.py.

def test_no_second_redirect_within_one_epoch(steady, key):
    wrong = steady.wrong_node(key)
    answer = wrong.poll(key, hops=1, epoch=wrong.ring()["epoch"], route="redirect")
    assert answer.status == 503
    assert answer.code == "redirect_limit"


def test_no_fourth_redirect(steady, key):
    wrong = steady.wrong_node(key)
    answer = wrong.poll(key, hops=3, epoch=wrong.ring()["epoch"], route="redirect")
    assert answer.status == 503
    assert answer.code == "redirect_limit"


def test_an_epoch_that_never_comes_ends_in_503_or_a_relay(steady, key):
    wrong = steady.wrong_node(key)
    assert wrong.poll(key, hops=1, epoch=2**40, route="redirect").status == 503
    assert wrong.poll(key, hops=1, epoch=2**40).status == 200


def test_a_websocket_at_the_bound_is_refused_too(steady, key):
    wrong = steady.wrong_node(key)
    query = f"?route=redirect&hops=3&epoch={wrong.ring()['epoch']}"
    assert upgrade(wrong, key, [AGENT], query).status == 503
    with RawClient(wrong, key, query, expect=503) as client:
        assert client.response.code == "redirect_limit"


@pytest.mark.parametrize("query", ["hops=x", "hops=-1", "epoch=x", "hops=1000000", "limit=0",
                                   "limit=1001", "wait=61", "wait=-1", "limit=", "hops=1&hops=2"])
def test_a_bad_query_is_refused(steady, key, query):
    answer = steady["n1"].get(f"/v1/channels/{quote(key)}/messages?{query}")
    assert answer.status == 400
    assert answer.code == "bad_query"


# --- clients that others wrote -------------------------------------------------------------------

def test_python_websockets_follows_the_307(steady, key):
    client = Client(steady.wrong_node(key).ws_url(key), protocol=None)
    assert client.subprotocol is None
    assert client.welcome()["node"] == steady.owner(key).id
    assert client.port == steady.owner(key).client_port
    client.close()


def test_npm_ws_follows_the_307(steady, key, npm_ws):
    npm_ws.open("a", steady.wrong_node(key).ws_url(key), protocol=None, redirects=True)
    npm_ws.wait_welcomed(["a"])
    assert npm_ws.clients["a"].of_type("welcome")[0]["node"] == steady.owner(key).id


def test_npm_ws_follows_moved(steady, key, npm_ws):
    npm_ws.open("a", steady.wrong_node(key).ws_url(key))
    npm_ws.wait_welcomed(["a"])
    client = npm_ws.clients["a"]
    assert client.of_type("welcome")[0]["node"] == steady.owner(key).id
    wait_for(lambda: client.closes, what="close of the first connection")
    assert client.closes[0]["code"] == 4307


def test_curl_follows_the_307(steady, key):
    steady.owner(key).publish(key, "for curl")
    url = f"{steady.wrong_node(key).url}/v1/channels/{quote(key)}/messages?after=0"
    done = subprocess.run(["curl", "-sSfL", url], capture_output=True, text=True, timeout=20)
    assert done.returncode == 0, done.stderr
    assert '"data":"for curl"' in done.stdout


def test_python_websocket_and_aiohttp_get_what_they_understand(steady, key):
    """python3-aiohttp follows the schemeless form."""
    script = (
        "import asyncio, aiohttp, sys\n"
        "async def main():\n"
        "    async with aiohttp.ClientSession() as session:\n"
        "        async with session.ws_connect(sys.argv[1]) as ws:\n"
        "            print(await ws.receive_str())\n"
        "asyncio.run(main())\n")
    url = steady.wrong_node(key).ws_url(key).replace("ws://", "http://")
    done = subprocess.run(["/usr/bin/python3", "-c", script, url], capture_output=True, text=True,
                          timeout=20)
    assert done.returncode == 0, done.stderr[-500:]
    assert f'"node":"{steady.owner(key).id}"' in done.stdout


def test_cors_preflight_is_answered(steady, key):
    answer = steady.wrong_node(key).get(
        f"/v1/channels/{quote(key)}/messages", method="OPTIONS",
        headers={"Origin": "http://page.example", "Access-Control-Request-Method": "POST",
                 "Access-Control-Request-Headers": "idempotency-key"})
    assert answer.status in (200, 204)
    assert answer.headers["access-control-allow-origin"] == "*"
    assert "POST" in answer.headers["access-control-allow-methods"]
