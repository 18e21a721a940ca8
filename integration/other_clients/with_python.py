# SPDX-License-Identifier: Apache-2.0
"""WebSocket clients of Python: `with_python.py websockets|websocket|aiohttp URL [SUBPROTOCOL]`.

As all programs of this folder it prints a line for what it hears and goes where `moved` says:

    text {"type":"welcome",...}
    status 307          the handshake was answered so, and the library shows it
    failed WHY          the connection could not be made
    closed 4307
"""
import asyncio
import json
import sys


def tell(*words):
    print(*words, flush=True)


def hear(text):
    """The URL to go to, or None."""
    tell("text", text)
    event = json.loads(text)
    return event["url"] if event["type"] == "moved" else None


async def with_websockets(url, protocols):
    import websockets
    try:
        async with websockets.connect(url, subprotocols=protocols) as connection:
            async for text in connection:
                if there := hear(text):
                    return there
            tell("closed", connection.close_code)
    except websockets.InvalidStatusCode as error:
        tell("status", error.status_code)
    return None


async def with_aiohttp(url, protocols):
    import aiohttp
    async with aiohttp.ClientSession() as session:
        try:
            async with session.ws_connect(url, protocols=protocols or ()) as connection:
                async for message in connection:
                    if there := hear(message.data):
                        return there
                tell("closed", connection.close_code)
        except aiohttp.WSServerHandshakeError as error:
            tell("status", error.status)
    return None


def with_websocket(url, protocols):
    import websocket
    connection = websocket.WebSocket()
    try:
        connection.connect(url, subprotocols=protocols)
    except websocket.WebSocketBadStatusException as error:
        tell("status", error.status_code)
        return None
    while True:
        opcode, data = connection.recv_data()
        if opcode == websocket.ABNF.OPCODE_CLOSE:
            tell("closed", int.from_bytes(data[:2], "big"))
            return None
        if opcode == websocket.ABNF.OPCODE_TEXT and (there := hear(data.decode())):
            connection.close()
            return there


def main(library, url, protocol=None):
    protocols = [protocol] if protocol else None
    while url:
        try:
            if library == "websocket":
                url = with_websocket(url, protocols)
            else:
                client = {"websockets": with_websockets, "aiohttp": with_aiohttp}[library]
                url = asyncio.run(client(url, protocols))
        except Exception as error:  # whatever it is, the test shows it
            tell("failed", repr(error))
            return


main(*sys.argv[1:])
