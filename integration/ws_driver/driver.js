// SPDX-License-Identifier: Apache-2.0
// npm's `ws` as a client of ringhop, many at once. Commands come as JSON lines on standard input,
// events go as JSON lines to standard output; harness/npm_ws.py is the other end.
//
//   {"do":"open","id":"c1","url":"ws://...","protocol":"ringhop.v1","redirects":true,
//       "deflate":true}
//   {"do":"send","id":"c1","text":"..."}     {"do":"close","id":"c1"}
//
//   {"event":"open","id":"c1","attempt":1,"url":"ws://... as connected","protocol":"ringhop.v1",
//       "extensions":"permessage-deflate"}
//   {"event":"text","id":"c1","attempt":1,"text":"..."}
//   {"event":"close","id":"c1","attempt":1,"code":4307,"reason":""}
//   {"event":"error","id":"c1","attempt":1,"message":"..."}
//
// A client that is told `moved` opens the new URL as its next attempt, and lets go of the old
// connection once the new one is open. Every event carries `at`, in milliseconds.
"use strict";
const readline = require("readline");
const WebSocket = require("ws");

const clients = new Map(); // id -> {socket, attempt, protocol, redirects, deflate}

function tell(event, id, attempt, more) {
  process.stdout.write(JSON.stringify({ event, id, attempt, at: performance.now(), ...more }) + "\n");
}

function open(id, url) {
  const client = clients.get(id);
  const attempt = ++client.attempt;
  const previous = client.socket;
  const socket = new WebSocket(url, client.protocol ? [client.protocol] : [], {
    followRedirects: client.redirects,
    perMessageDeflate: client.deflate,
  });
  client.socket = socket;
  socket.on("open", () => {
    tell("open", id, attempt, { url: socket.url, protocol: socket.protocol, extensions: socket.extensions });
    if (previous) {
      previous.close();
    }
  });
  socket.on("message", (data) => {
    const text = data.toString();
    tell("text", id, attempt, { text });
    if (text.startsWith('{"type":"moved"') || JSON.parse(text).type === "moved") {
      open(id, JSON.parse(text).url);
    }
  });
  socket.on("close", (code, reason) => tell("close", id, attempt, { code, reason: reason.toString() }));
  socket.on("error", (error) => tell("error", id, attempt, { message: error.message }));
}

readline.createInterface({ input: process.stdin }).on("line", (line) => {
  const command = JSON.parse(line);
  if (command.do === "open") {
    clients.set(command.id, {
      socket: null,
      attempt: 0,
      protocol: command.protocol,
      redirects: Boolean(command.redirects),
      deflate: Boolean(command.deflate) && { threshold: 0 },
    });
    open(command.id, command.url);
  } else if (command.do === "send") {
    clients.get(command.id).socket.send(command.text);
  } else if (command.do === "close") {
    clients.get(command.id).socket.close();
  }
}).on("close", () => process.exit(0));
