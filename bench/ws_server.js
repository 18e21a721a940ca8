// SPDX-License-Identifier: Apache-2.0
// The usual back end on npm's ws: GET /KEY with an upgrade subscribes, POST /KEY sends its body.
// node ws_server.js PORT, with NODE_PATH where ws is.
"use strict";
const http = require("http");
const { WebSocketServer } = require("ws");

const channels = new Map();

const server = http.createServer((request, response) => {
  const parts = [];
  request.on("data", (part) => parts.push(part));
  request.on("end", () => {
    const body = parts.length === 1 ? parts[0] : Buffer.concat(parts);
    for (const socket of channels.get(request.url) ?? []) socket.send(body, { binary: false });
    response.writeHead(200, { "Content-Length": "0" });
    response.end();
  });
});
server.keepAliveTimeout = 0;

const sockets = new WebSocketServer({ server, perMessageDeflate: false });
sockets.on("connection", (socket, request) => {
  let members = channels.get(request.url);
  if (!members) channels.set(request.url, (members = new Set()));
  members.add(socket);
  socket.on("close", () => {
    members.delete(socket);
    if (members.size === 0) channels.delete(request.url);
  });
});

server.listen({ port: Number(process.argv[2]), host: "127.0.0.1", backlog: 4096 });
