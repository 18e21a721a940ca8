// SPDX-License-Identifier: Apache-2.0
// Server-Sent Events and long polls, and changes from one transport to another.
import assert from "node:assert/strict";
import test from "node:test";
import { INCARNATION, OTHER, Stream, json, make, open, settle } from "./fake.js";

const at = (seq, incarnation = INCARNATION) => `${incarnation}:${seq}`;

/** Answers a request with a stream of events. */
async function stream(request) {
  const made = new Stream();
  request.resolve(new Response(made.body, { status: 200 }));
  await settle();
  return made;
}

function answer(messages, position, more = {}) {
  return json({ channel: "k", incarnation: INCARNATION, recovered: true, messages, position,
    more: false, ...more });
}

const message = (seq) => ({ seq, id: `i${seq}`, time: 5, data: `m${seq}` });

test("a stream of events is asked for without a header that needs a preflight", async () => {
  const { requests } = await open(make({ transports: ["events"] }), { after: at(3) });
  assert.equal(requests[0].path, "/v1/channels/k/events");
  assert.equal(requests[0].url.searchParams.get("after"), at(3));
  // Nor with one by which a node would take it for an EventSource.
  assert.deepEqual(Object.keys(requests[0].headers), []);
});

const STREAM = [
  "retry: 900\n", ":a comment\n", "id: x\n", "event: welcome\n",
  `data: {"type":"welcome","channel":"k","node":"n1","epoch":1,"incarnation":"${INCARNATION}","seq":0,"recovered":true}\n\n`,
  `event: message\ndata: {"type":"message","seq":1,\ndata: "id":"i1","time":5,"data":"é: \\n"}\n\n`,
  `event:message\ndata:{"type":"message","seq":2,"id":"i2","time":5,"data":"m2"}\n\n`,
  "event: later\ndata: {}\n\n", "event: nothing\n\n", "data\n",
].join("");

test("a stream is understood however it is cut, and with any line ends", async () => {
  for (const end of ["\n", "\r\n", "\r"]) {
    const bytes = new TextEncoder().encode(STREAM.replaceAll("\n", end));
    for (let cut = 1; cut < bytes.length; cut += end === "\r\n" ? 1 : 7) {
      const { requests, heard, channel } = await open(make({ transports: ["events"] }));
      const source = await stream(requests[0]);
      source.write(bytes.slice(0, cut));
      source.write(bytes.slice(cut));
      await settle();
      assert.deepEqual(heard.message.map(({ data }) => data), ["é: \n", "m2"], `cut at ${cut}`);
      assert.equal(channel.status, "open");
      channel.close();
    }
  }
});

test("a stream in single bytes is understood", async () => {
  const { requests, heard } = await open(make({ transports: ["events"] }));
  const source = await stream(requests[0]);
  for (const byte of new TextEncoder().encode(STREAM.replaceAll("\n", "\r\n"))) {
    source.write(new Uint8Array([byte]));
  }
  await settle();
  assert.deepEqual(heard.seqs(), [1, 2]);
});

for (const how of ["end", "fail"]) {
  test(`a stream that ${how}s is taken up where it was`, async () => {
    const { requests, heard, clock } = await open(make({ transports: ["events"] }));
    const source = await stream(requests[0]);
    source.welcome();
    source.message(1);
    await settle();
    source[how]();
    await clock.pass(0);
    assert.equal(requests[1].url.searchParams.get("after"), at(1));
    const next = await stream(requests[1]);
    next.welcome(1);
    next.message(2);
    await settle();
    assert.deepEqual(heard.seqs(), [1, 2]);
  });
}

test("a stream without even a comment is given up", async () => {
  const { requests, clock, heard } = await open(make({ transports: ["events"] }));
  const source = await stream(requests[0]);
  source.welcome();
  await clock.pass(69_000);
  source.write(":\n\n");
  await clock.pass(69_000);
  assert.equal(requests.length, 1);
  await clock.pass(1000);
  assert.equal(requests.length, 2);
  assert.equal(requests[0].aborted, true);
  assert.equal(heard.status.at(-1).error.code, "timeout");
});

test("told to stay away by a stream, it does for as long as it was asked to", async () => {
  const { requests, heard } = await open(make({ transports: ["events"] }));
  const source = await stream(requests[0]);
  source.write("retry: 2000\n\n");
  source.say({ type: "error", code: "shutting_down", message: "bye" });
  await settle();
  source.end();
  await settle();
  assert.equal(heard.status[0].delayMs, 2500);
});

test("moved, a stream goes on at the new node before the old one is let go", async () => {
  const { requests, heard, channel } = await open(make({ transports: ["events"] }));
  const source = await stream(requests[0]);
  source.welcome();
  source.message(1);
  source.say({ type: "moved", node: "n4", url: "http://n4/v1/channels/k/events?after=x", seq: 1 });
  await settle();
  assert.equal(channel.status, "moving");
  assert.equal(requests[1].url.host, "n4");
  assert.equal(requests[1].url.searchParams.get("after"), at(1));
  assert.notEqual(requests[0].aborted, true);
  const next = await stream(requests[1]);
  next.welcome(1);
  await settle();
  assert.equal(requests[0].aborted, true);
  next.message(2);
  await settle();
  assert.deepEqual(heard.seqs(), [1, 2]);
});

test("the first poll asks where we are, those after it wait", async () => {
  const { requests, heard } = await open(make({ transports: ["poll"] }));
  assert.equal(requests[0].path, "/v1/channels/k/messages");
  assert.deepEqual(Object.fromEntries(requests[0].url.searchParams), { limit: "1000", wait: "0" });
  requests[0].resolve(answer([], at(4)));
  await settle();
  assert.equal(heard.welcome[0].seq, 4);
  assert.deepEqual(Object.fromEntries(requests[1].url.searchParams),
    { limit: "1000", wait: "25", after: at(4) });
  requests[1].resolve(answer([message(5), message(6)], at(6), { more: true }));
  await settle();
  assert.deepEqual(heard.seqs(), [5, 6]);
  assert.deepEqual(Object.fromEntries(requests[2].url.searchParams),
    { limit: "1000", wait: "0", after: at(6) });
  requests[2].resolve(answer([message(7)], at(7)));
  await settle();
  assert.deepEqual(heard.seqs(), [5, 6, 7]);
  assert.equal(heard.welcome.length, 1);
  assert.equal(requests[3].url.searchParams.get("wait"), "25");
});

test("after a redirect the next poll goes where that led, as the beginning of a chain", async () => {
  const { requests } = await open(make({ transports: ["poll"] }));
  const first = answer([], at(4));
  Object.defineProperty(first, "url",
    { value: "http://owner/v1/channels/k/messages?limit=1000&wait=0&hops=1&epoch=9&client=c" });
  requests[0].resolve(first);
  await settle();
  assert.equal(requests[1].url.host, "owner");
  assert.deepEqual(Object.fromEntries(requests[1].url.searchParams),
    { limit: "1000", wait: "25", client: "c", after: at(4) });
});

test("a poll may wait for a channel that is not there", async () => {
  const { requests, heard } = await open(make({ transports: ["poll"] }));
  requests[0].resolve(answer([], "0", { incarnation: null }));
  await settle();
  assert.equal(requests[1].url.searchParams.get("after"), "0");
  requests[1].resolve(answer([message(1), message(2)], at(2)));
  await settle();
  assert.deepEqual(heard.seqs(), [1, 2]);
  assert.deepEqual(heard.welcome.map(({ incarnation }) => incarnation), [null, INCARNATION]);
  assert.deepEqual(heard.gap, []);
});

test("a poll tells a gap, and a channel that began anew", async () => {
  const { requests, heard } = await open(make({ transports: ["poll"] }), { after: at(2) });
  requests[0].resolve(answer([message(9)], at(9), { recovered: false }));
  await settle();
  requests[1].resolve(answer([message(1)], at(1, OTHER), { incarnation: OTHER, recovered: false }));
  await settle();
  assert.deepEqual(heard.gap, [{ before: at(2), position: at(8) },
    { before: at(9), position: at(0, OTHER) }]);
  assert.deepEqual(heard.seqs(), [9, 1]);
});

test("a poll that is never answered is given up", async () => {
  const { requests, clock } = await open(make({ transports: ["poll"] }));
  requests[0].resolve(answer([], at(4)));
  await clock.pass(40_000);
  assert.equal(requests[1].aborted, true);
  assert.equal(requests.length, 3);
});

test("a refused poll respects Retry-After", async () => {
  const { requests, heard } = await open(make({ transports: ["poll"] }));
  requests[0].resolve(json({ code: "not_ready", detail: "wait" },
    { status: 503, headers: { "Retry-After": "2" } }));
  await settle();
  assert.equal(heard.status[0].delayMs, 2500);
});

test("where WebSocket never works, events are taken, and where they do not either, polls", async () => {
  const { sockets, requests, clock, heard } = await open(make());
  sockets[0].end();
  await clock.pass(0);
  sockets[1].end();
  await clock.pass(250);
  assert.equal(requests[0].path, "/v1/channels/k/events");
  requests[0].reject(new TypeError("blocked"));
  await clock.pass(500);
  requests[1].resolve(new Response("<html>", { status: 502 }));
  await clock.pass(1000);
  assert.equal(requests[2].path, "/v1/channels/k/messages");
  requests[2].resolve(answer([], at(4)));
  await settle();
  assert.deepEqual(heard.welcome.map(({ transport }) => transport), ["poll"]);
});

test("on a fallback it tries better transports now and then, without letting go", async () => {
  const { sockets, requests, clock, heard, channel } = await open(make());
  sockets[0].end();
  await clock.pass(0);
  sockets[1].end();
  await clock.pass(250);
  const source = await stream(requests[0]);
  source.welcome();
  await clock.pass(60_000);
  assert.equal(sockets.length, 3);
  sockets[2].end();
  source.message(1);
  await clock.pass(60_000);
  assert.equal(sockets.length, 3);
  source.message(2);
  await clock.pass(60_000);
  assert.equal(sockets.length, 4);
  assert.equal(sockets[3].query.after, at(2));
  sockets[3].welcome(2);
  assert.equal(channel.transport, "websocket");
  assert.equal(requests[0].aborted, true);
  assert.deepEqual(heard.statuses(), ["waiting", "connecting", "open"]);
  assert.deepEqual(heard.seqs(), [1, 2]);
});

test("a WebSocket that has worked is not given up soon", async () => {
  const { sockets, requests, clock } = await open(make());
  sockets[0].welcome();
  sockets[0].end();
  for (let failure = 0; failure < 5; failure++) {
    await clock.pass(15_000);
    sockets.at(-1).end();
  }
  assert.equal(requests.length, 0);
  await clock.pass(15_000);
  assert.equal(sockets.length, 7);
});

test("that no node can be asked is not the fault of WebSocket", async () => {
  const { sockets, requests, clock } = await open(make({ locate: "where" }));
  for (let failure = 0; failure < 4; failure++) {
    requests.at(-1).reject(new TypeError("refused"));
    await clock.pass(15_000);
  }
  requests.at(-1).resolve(json({ ws: "ws://owner/v1/channels/k/ws" }));
  await settle();
  assert.equal(sockets.length, 1);
});

test("a change of transport delivers what both bring once", async () => {
  const { sockets, requests, heard, channel } = await open(make());
  sockets[0].welcome();
  sockets[0].message(1);
  channel.switchTo("events");
  await settle();
  assert.equal(requests[0].url.searchParams.get("after"), at(1));
  sockets[0].message(2);
  const source = await stream(requests[0]);
  sockets[0].message(3);
  source.welcome(1);
  await settle();
  assert.equal(sockets[0].closed, true);
  for (const seq of [2, 3, 4]) {
    source.message(seq);
  }
  await settle();
  assert.deepEqual(heard.seqs(), [1, 2, 3, 4]);
  assert.deepEqual(heard.statuses(), ["open"]);
  assert.equal(channel.transport, "events");
});

test("a move in the middle of a change of transport ends at the new node", async () => {
  const { sockets, requests, heard, channel } = await open(make());
  sockets[0].welcome();
  channel.switchTo("events");
  await settle();
  sockets[0].say({ type: "moved", node: "n4", url: "ws://n4/v1/channels/k/ws", seq: 0 });
  await settle();
  assert.equal(sockets.length, 1);
  const source = await stream(requests[0]);
  source.say({ type: "moved", node: "n4", url: "http://n4/v1/channels/k/events" });
  await settle();
  assert.equal(requests[1].url.host, "n4");
  const next = await stream(requests[1]);
  next.welcome();
  next.message(1);
  await settle();
  assert.deepEqual(heard.seqs(), [1]);
  assert.deepEqual(heard.statuses(), ["open", "moving", "open"]);
});

test("a change that fails leaves the old transport in place", async () => {
  const { sockets, requests, heard, channel } = await open(make());
  sockets[0].welcome();
  channel.switchTo("poll");
  await settle();
  requests[0].reject(new TypeError("blocked"));
  await settle();
  sockets[0].message(1);
  assert.deepEqual(heard.seqs(), [1]);
  assert.equal(channel.transport, "websocket");
});

test("without a WebSocket the others are used", async () => {
  const { requests } = await open(make({ WebSocket: null }));
  assert.equal(requests[0].path, "/v1/channels/k/events");
  assert.throws(() => make({ WebSocket: null, transports: ["websocket"] }), TypeError);
});
