// SPDX-License-Identifier: Apache-2.0
// A channel over WebSocket: welcome, resume, moves, losses, pauses.
import assert from "node:assert/strict";
import test from "node:test";
import { INCARNATION, OTHER, json, make, open, settle } from "./fake.js";

const at = (seq, incarnation = INCARNATION) => `${incarnation}:${seq}`;

test("it offers the subprotocol and says where to begin", async () => {
  const { sockets } = await open(make(), { after: "0" }, "a/b c");
  assert.match(sockets[0].url, /^ws:\/\/[ab]\/v1\/channels\/a%2Fb%20c\/ws\?after=0$/);
  assert.deepEqual(sockets[0].protocols, ["ringhop.v1"]);
});

test("without a position it asks for none", async () => {
  const { sockets, channel } = await open(make());
  assert.deepEqual(sockets[0].query, {});
  assert.equal(channel.position, undefined);
});

test("it asks where the owner is and goes there", async () => {
  const { sockets, requests, heard, channel } = await open(make({ locate: "where" }));
  assert.equal(sockets.length, 0);
  assert.equal(requests[0].url.pathname + requests[0].url.search, "/v1/where?key=k");
  requests[0].resolve(json({ ws: "ws://owner/v1/channels/k/ws" }));
  await settle();
  assert.equal(sockets[0].url, "ws://owner/v1/channels/k/ws");
  sockets[0].welcome(4);
  assert.equal(channel.status, "open");
  assert.equal(channel.transport, "websocket");
  assert.equal(channel.position, at(4));
  assert.deepEqual(heard.welcome[0], { node: "n1", epoch: 1, incarnation: INCARNATION, seq: 4,
    recovered: true, transport: "websocket", position: at(4) });
});

test("messages come with kind, data and position", async () => {
  const { sockets, heard } = await open(make());
  sockets[0].welcome();
  sockets[0].message(1, { data: "text" });
  sockets[0].message(2, { json: { a: null } });
  sockets[0].message(3, { base64: "AP8=" });
  assert.deepEqual(heard.message.map(({ kind, data }) => [kind, data]),
    [["text", "text"], ["json", { a: null }], ["bytes", new Uint8Array([0, 255])]]);
  assert.deepEqual(heard.message[0],
    { seq: 1, id: "i1", time: 5, kind: "text", data: "text", position: at(1) });
});

test("a message that came by a topic says so", async () => {
  const { sockets, heard } = await open(make());
  sockets[0].welcome();
  sockets[0].message(1, { data: "x", topic: "room:7", topic_position: at(9) });
  sockets[0].message(2, { data: "y" });
  assert.deepEqual(heard.message.map(({ topic, topicPosition }) => [topic, topicPosition]),
    [["room:7", at(9)], [undefined, undefined]]);
});

test("what comes twice is told once", async () => {
  const { sockets, heard } = await open(make());
  sockets[0].welcome();
  for (const seq of [1, 2, 2, 1, 3]) {
    sockets[0].message(seq);
  }
  assert.deepEqual(heard.seqs(), [1, 2, 3]);
});

test("a hole is not told but closed, by resuming before it", async () => {
  const { sockets, heard, clock } = await open(make());
  sockets[0].welcome();
  sockets[0].message(1);
  sockets[0].message(3);
  assert.equal(sockets[0].closed, true);
  await clock.pass(0);
  assert.equal(sockets[1].query.after, at(1));
  sockets[1].welcome(1);
  sockets[1].message(2);
  sockets[1].message(3);
  assert.deepEqual(heard.seqs(), [1, 2, 3]);
  assert.deepEqual(heard.gap, []);
});

test("unknown messages and members are ignored", async () => {
  const { sockets, heard, channel } = await open(make());
  sockets[0].welcome(0, { news: 1 });
  sockets[0].say({ type: "presence", joined: [] });
  sockets[0].message(1);
  assert.deepEqual(heard.seqs(), [1]);
  assert.equal(channel.status, "open");
});

test("the first retry is at once, with the position, at another node", async () => {
  const { sockets, clock, heard } = await open(make());
  sockets[0].welcome(6);
  sockets[0].message(7);
  sockets[0].end();
  await clock.pass(0);
  assert.equal(sockets.length, 2);
  assert.equal(sockets[1].query.after, at(7));
  assert.notEqual(new URL(sockets[0].url).host, new URL(sockets[1].url).host);
  assert.deepEqual(heard.statuses(), ["open", "connecting"]);
  sockets[1].welcome(7);
  assert.deepEqual(heard.gap, []);
});

test("pauses double and are drawn at random", async () => {
  const { sockets, clock, heard } = await open(make({ transports: ["websocket"], retryMax: 3000 }));
  for (let failure = 0; failure < 6; failure++) {
    sockets.at(-1).end();
    await clock.pass(10_000);
  }
  assert.deepEqual(heard.status.filter(({ status }) => status === "waiting").map((one) => one.delayMs),
    [250, 500, 1000, 1500, 1500]);
  assert.equal(sockets.length, 7);
});

test("no jitter is longer than the full pause, and none is never", async () => {
  for (const [random, delays] of [[0, []], [0.999, [499.5, 999]]]) {
    const made = make({ transports: ["websocket"], random: () => random });
    const { sockets, clock, heard } = await open(made);
    for (let failure = 0; failure < 3; failure++) {
      sockets.at(-1).end();
      await clock.pass(10_000);
    }
    assert.deepEqual(heard.status.filter(({ status }) => status === "waiting")
      .map((one) => one.delayMs), delays);
    assert.equal(sockets.length, 4);
  }
});

test("a connection that lasted makes the next retry the first again", async () => {
  const { sockets, clock, heard } = await open(make({ transports: ["websocket"] }));
  sockets[0].end();
  await clock.pass(0);
  sockets[1].end();
  await clock.pass(250);
  sockets[2].welcome();
  await clock.pass(6000);
  sockets[2].end();
  await clock.pass(0);
  assert.equal(sockets.length, 4);
  assert.deepEqual(heard.statuses(), ["waiting", "connecting", "open", "connecting"]);
});

test("a connection that is lost at once again and again is not retried at once for ever", async () => {
  const { sockets, clock, heard } = await open(make({ transports: ["websocket"] }));
  for (let round = 0; round < 4; round++) {
    sockets.at(-1).welcome();
    sockets.at(-1).end();
    await clock.pass(5000);
  }
  assert.deepEqual(heard.status.filter(({ status }) => status === "waiting").map((one) => one.delayMs),
    [250, 500, 1000]);
});

test("told why before the end, it stays away for a while", async () => {
  const { sockets, clock, heard } = await open(make());
  sockets[0].say({ type: "error", code: "not_ready", message: "wait" });
  sockets[0].end(1013);
  assert.equal(heard.status[0].status, "waiting");
  assert.equal(heard.status[0].error.code, "not_ready");
  assert.equal(heard.status[0].delayMs, 1250);
  await clock.pass(1250);
  assert.equal(sockets.length, 2);
});

test("moved, it goes on at the new node before it lets go of the old one", async () => {
  const { sockets, channel, heard } = await open(make());
  sockets[0].welcome();
  sockets[0].message(1);
  sockets[0].say({ type: "moved", node: "n4", url: "ws://n4/v1/channels/k/ws?after=x&epoch=9", seq: 1 });
  assert.equal(channel.status, "moving");
  await settle();
  assert.equal(sockets[1].url, `ws://n4/v1/channels/k/ws?after=${encodeURIComponent(at(1))}&epoch=9`);
  assert.equal(sockets[0].closed, false);
  sockets[1].welcome(1, { node: "n4" });
  assert.equal(sockets[0].closed, true);
  sockets[1].message(2);
  assert.deepEqual(heard.seqs(), [1, 2]);
  assert.deepEqual(heard.statuses(), ["open", "moving", "open"]);
  assert.deepEqual(heard.moved, [{ node: "n4", url: "ws://n4/v1/channels/k/ws?after=x&epoch=9" }]);
});

test("at the wrong node it is sent on without a word about a move", async () => {
  const { sockets, channel, heard } = await open(make(), { after: "0" });
  sockets[0].say({ type: "moved", node: "n4", url: "ws://n4/v1/channels/k/ws?after=0" });
  await settle();
  assert.equal(sockets[1].url, "ws://n4/v1/channels/k/ws?after=0");
  assert.equal(sockets[0].closed, true);
  sockets[1].welcome();
  assert.equal(channel.status, "open");
  assert.deepEqual(heard.moved, []);
});

test("a chain without end is ended and tried again, with pauses", async () => {
  const { sockets, clock, heard } = await open(make({ transports: ["websocket"] }));
  for (let chain = 1; chain <= 2; chain++) {
    for (let hop = 0; hop < 9; hop++) {
      sockets.at(-1).say({ type: "moved", node: "n4", url: `ws://n${hop}/v1/channels/k/ws` });
      await clock.pass(0);
    }
    assert.equal(sockets.length, chain === 1 ? 10 : 18); // the first retry is at once
  }
  assert.equal(heard.status[0].status, "waiting");
  assert.equal(heard.status[0].error.code, "redirect_limit");
});

test("when the new node of a move fails, it begins anew where it was", async () => {
  const { sockets, clock, heard } = await open(make());
  sockets[0].welcome();
  await clock.pass(6000);
  sockets[0].say({ type: "moved", node: "n4", url: "ws://n4/v1/channels/k/ws", seq: 0 });
  await settle();
  sockets[1].end();
  await clock.pass(0);
  assert.match(sockets[2].url, /^ws:\/\/[ab]\//);
  assert.equal(sockets[2].query.after, at(0));
  sockets[2].welcome();
  assert.deepEqual(heard.statuses(), ["open", "moving", "connecting", "open"]);
});

test("when the old node ends before the new one welcomed, it waits for the new one", async () => {
  const { sockets, clock, heard } = await open(make());
  sockets[0].welcome();
  sockets[0].say({ type: "moved", node: "n4", url: "ws://n4/v1/channels/k/ws", seq: 0 });
  await settle();
  sockets[0].end(4307);
  await clock.pass(0);
  assert.equal(sockets.length, 2);
  sockets[1].welcome();
  assert.deepEqual(heard.statuses(), ["open", "moving", "connecting", "open"]);
});

test("a log that was trimmed is told as a gap", async () => {
  const { sockets, heard, channel } = await open(make(), { after: at(5) });
  assert.equal(sockets[0].query.after, at(5));
  sockets[0].welcome(20, { recovered: false });
  sockets[0].message(21);
  assert.deepEqual(heard.gap, [{ before: at(5), position: at(20) }]);
  assert.equal(heard.welcome[0].recovered, false);
  assert.deepEqual(heard.seqs(), [21]);
  assert.equal(channel.position, at(21));
});

test("another incarnation is a gap, and its messages begin anew", async () => {
  const { sockets, heard, clock } = await open(make());
  sockets[0].welcome(7);
  sockets[0].message(8);
  sockets[0].end();
  await clock.pass(0);
  sockets[1].welcome(0, { incarnation: OTHER, recovered: false });
  sockets[1].message(1);
  assert.deepEqual(heard.gap, [{ before: at(8), position: at(0, OTHER) }]);
  assert.deepEqual(heard.seqs(), [8, 1]);
});

test("a node that skips messages is not believed when it says that all were recovered", async () => {
  const { sockets, heard, clock } = await open(make());
  sockets[0].welcome(7);
  sockets[0].end();
  await clock.pass(0);
  sockets[1].welcome(9);
  assert.deepEqual(heard.gap, [{ before: at(7), position: at(9) }]);
});

test("a silent connection is pinged, and given up when nothing comes back", async () => {
  const { sockets, clock, heard } = await open(make());
  sockets[0].welcome();
  await clock.pass(20_000);
  assert.deepEqual(sockets[0].sent, [{ type: "ping" }]);
  sockets[0].say({ type: "pong" });
  await clock.pass(19_999);
  assert.equal(sockets[0].sent.length, 1);
  await clock.pass(1);
  assert.equal(sockets[0].sent.length, 2);
  await clock.pass(10_000);
  assert.equal(sockets[0].closed, true);
  assert.equal(sockets.length, 2);
  assert.equal(heard.status.at(-1).error.code, "timeout");
});

test("a connection that is never welcomed is given up", async () => {
  const { sockets, clock } = await open(make());
  await clock.pass(15_000);
  assert.equal(sockets[0].closed, true);
  assert.equal(sockets.length, 2);
});

test("nonsense ends the connection, not the channel", async () => {
  const { sockets, clock, channel } = await open(make());
  sockets[0].welcome();
  sockets[0].onmessage({ data: "{" });
  await clock.pass(0);
  assert.equal(sockets.length, 2);
  assert.equal(channel.status, "connecting");
});

test("close() leaves no timer, no connection and no event behind", async () => {
  const { sockets, clock, channel, heard } = await open(make());
  sockets[0].welcome();
  sockets[0].say({ type: "moved", node: "n4", url: "ws://n4/v1/channels/k/ws", seq: 0 });
  await settle();
  channel.close();
  channel.close();
  assert.deepEqual(sockets.map(({ closed }) => closed), [true, true]);
  assert.equal(clock.timers, 0);
  sockets[1].welcome();
  assert.deepEqual(heard.statuses(), ["open", "moving", "closed"]);
});

test("close() while it waits ends the waiting", async () => {
  const { sockets, clock, channel } = await open(make({ transports: ["websocket"] }));
  sockets[0].end();
  await clock.pass(0);
  sockets[1].end();
  assert.equal(channel.status, "waiting");
  channel.close();
  assert.equal(clock.timers, 0);
});

test("close() in the middle of a message stops those after it", async () => {
  const { sockets, channel, heard } = await open(make());
  channel.on("message", () => channel.close());
  sockets[0].welcome();
  sockets[0].message(1);
  sockets[0].message(2);
  assert.deepEqual(heard.seqs(), [1]);
});

test("a signal closes the channel, and one that was aborted before opens none", async () => {
  const abort = new AbortController();
  const made = make();
  const { channel, clock } = await open(made, { signal: abort.signal });
  abort.abort();
  assert.equal(channel.status, "closed");
  assert.equal(clock.timers, 0);
  assert.throws(() => made.client.open("k", { signal: abort.signal }), { name: "AbortError" });
});

test("the client closes all its channels", async () => {
  const made = make();
  const one = await open(made);
  const other = await open(made, {}, "k2");
  made.client.close();
  assert.deepEqual([one.channel.status, other.channel.status], ["closed", "closed"]);
});

test("an error that no retry mends closes the channel", async () => {
  const { requests, channel, heard, clock } = await open(make({ locate: "where" }));
  requests[0].resolve(json({ code: "bad_key", detail: "no" }, { status: 400 }));
  await settle();
  assert.equal(channel.status, "closed");
  assert.equal(heard.error[0].code, "bad_key");
  assert.equal(clock.timers, 0);
});

test("what something on the way answers is not taken for the node's word", async () => {
  const { requests, channel } = await open(make({ locate: "where" }));
  requests[0].resolve(new Response("pay first", { status: 403 }));
  await settle();
  assert.equal(channel.status, "connecting");
});

test("keys, positions and transports that are none are refused at once", async () => {
  const { client } = make();
  for (const key of ["", "a\u0000", "x".repeat(513), "é".repeat(257), "\ud800", ".", "..", 5]) {
    assert.throws(() => client.open(key), TypeError, JSON.stringify(key));
  }
  for (const after of ["x", "1:2", `${INCARNATION}:`, `${INCARNATION}:-1`, 7]) {
    assert.throws(() => client.open("k", { after }), TypeError, String(after));
  }
  assert.throws(() => client.open("k", { transports: ["pigeon"] }), TypeError);
  assert.throws(() => client.open("k", { transports: [] }), TypeError);
  assert.throws(() => make({}, []), TypeError);
  assert.throws(() => make({}, ["ftp://a"]), TypeError);
  assert.throws(() => make({ locate: "guess" }), TypeError);
});

test("start URLs may have a path, and any of four schemes", async () => {
  for (const [url, begins] of [["https://a/hop/", "wss://a/hop/v1/"], ["ws://a", "ws://a/v1/"],
    ["wss://a:1", "wss://a:1/v1/"]]) {
    const { sockets } = await open(make({}, url));
    assert.ok(sockets[0].url.startsWith(begins), sockets[0].url);
  }
});

test("clients with one list begin at different nodes", async () => {
  const firsts = new Set();
  for (let draw = 0; draw < 10; draw++) {
    const { sockets } = await open(make({ random: () => draw / 10 }, ["http://a", "http://b"]));
    firsts.add(new URL(sockets[0].url).host);
  }
  assert.deepEqual([...firsts].sort(), ["a", "b"]);
});

class Target extends EventTarget {
  visibilityState = "visible";
  listeners = 0;

  addEventListener(...both) {
    this.listeners++;
    super.addEventListener(...both);
  }

  removeEventListener(...both) {
    this.listeners--;
    super.removeEventListener(...both);
  }

  tell(type) {
    this.dispatchEvent(new Event(type));
  }
}

test("online again, it does not wait any longer", async () => {
  const page = { window: new Target(), document: new Target() };
  const { sockets, clock } = await open(make({ page, transports: ["websocket"] }));
  sockets[0].end();
  await clock.pass(0);
  sockets[1].end();
  await settle();
  assert.equal(sockets.length, 2);
  page.window.tell("online");
  await settle();
  assert.equal(sockets.length, 3);
  sockets[2].end();
  await clock.pass(10);
  assert.equal(sockets.length, 3);
});

test("visible again or offline, it finds out whether the connection is alive", async () => {
  const page = { window: new Target(), document: new Target() };
  const { sockets, clock } = await open(make({ page }));
  sockets[0].welcome();
  page.document.visibilityState = "hidden";
  page.document.tell("visibilitychange");
  assert.equal(sockets[0].sent.length, 0);
  page.document.visibilityState = "visible";
  page.document.tell("visibilitychange");
  assert.equal(sockets[0].sent.length, 1);
  page.window.tell("offline");
  assert.equal(sockets[0].sent.length, 2);
  await clock.pass(10_000);
  assert.equal(sockets.length, 2);
});

test("a closed channel no longer listens to the page", async () => {
  const page = { window: new Target(), document: new Target() };
  const { sockets, channel } = await open(make({ page }));
  sockets[0].end();
  assert.deepEqual([page.window.listeners, page.document.listeners], [3, 1]);
  channel.close();
  assert.deepEqual([page.window.listeners, page.document.listeners], [0, 0]);
});
