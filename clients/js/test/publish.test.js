// SPDX-License-Identifier: Apache-2.0
// Publishing with acknowledgement and retry, and the state document.
import assert from "node:assert/strict";
import test from "node:test";
import { RinghopError, VersionConflict } from "../ringhop.js";
import { json, make, open, settle } from "./fake.js";

const ACKNOWLEDGED = { seq: 9, incarnation: "c0ffee0123456789", node: "n1", connections: 1,
  duplicate: false };
const refuse = (code, status, more) => json({ code, detail: code, ...more }, { status });

/** A channel with an open WebSocket. */
async function welcomed() {
  const made = await open(make());
  made.sockets[0].welcome();
  return made;
}

test("each kind of payload goes by HTTP with its content type", async () => {
  const { client, requests } = make();
  for (const [data, options, type, body] of [
    ["text", {}, "text/plain; charset=utf-8", "text"],
    [{ a: 1 }, {}, "application/json", '{"a":1}'],
    ["text", { kind: "json" }, "application/json", '"text"'],
    [null, {}, "application/json", "null"],
    [new Uint8Array([1, 2]), {}, "application/octet-stream", new Uint8Array([1, 2])],
    [new Uint8Array([1, 2, 3]).subarray(1), {}, "application/octet-stream", new Uint8Array([2, 3])],
  ]) {
    client.publish("a/b", data, options);
    await settle();
    const request = requests.at(-1);
    assert.equal(request.path, "/v1/channels/a%2Fb/messages");
    assert.equal(request.method, "POST");
    assert.equal(request.headers["Content-Type"], type);
    assert.deepEqual(request.body, body);
    assert.match(request.headers["Idempotency-Key"], /^[0-9a-f]{32}$/);
  }
});

test("what cannot be sent is refused, not published as something else", async () => {
  const { client, requests } = make();
  for (const [data, options] of [[undefined], [() => {}], ["text", { kind: "bytes" }],
    [{}, { kind: "text" }], ["x", { kind: "smoke" }], ["x", { id: "" }], ["x", { id: "ü" }],
    ["x", { id: "x".repeat(129) }]]) {
    await assert.rejects(client.publish("k", data, options), TypeError);
  }
  assert.equal(requests.length, 0);
});

test("by HTTP it resolves to what the node says", async () => {
  const { client, requests } = make();
  const published = client.publish("k", "hi", { id: "one" });
  await settle();
  requests[0].resolve(json(ACKNOWLEDGED, { status: 201 }));
  assert.deepEqual(await published, { id: "one", ...ACKNOWLEDGED });
});

test("retries keep the id and go to another node", async () => {
  const { client, requests, clock } = make();
  const published = client.publish("k", "hi");
  await settle();
  requests[0].reject(new TypeError("refused"));
  await clock.pass(0);
  requests[1].resolve(refuse("unknown_outcome", 504));
  await clock.pass(249);
  assert.equal(requests.length, 2);
  await clock.pass(1);
  requests[2].resolve(json(ACKNOWLEDGED));
  assert.equal((await published).seq, 9);
  const ids = requests.map(({ headers }) => headers["Idempotency-Key"]);
  assert.equal(new Set(ids).size, 1);
  assert.notEqual(requests[0].url.host, requests[1].url.host);
});

test("what is wrong with the message is not retried", async () => {
  const { client, requests } = make();
  const published = client.publish("k", "hi");
  await settle();
  requests[0].resolve(refuse("too_large", 413));
  await assert.rejects(published, { name: "RinghopError", code: "too_large", status: 413 });
  assert.equal(requests.length, 1);
});

test("when the time is over it says whether the message may be there", async () => {
  for (const [answer, code] of [[() => refuse("not_ready", 503), "not_ready"],
    [() => refuse("unknown_outcome", 504), "unknown_outcome"]]) {
    const { client, requests, clock } = make();
    const published = client.publish("k", "hi", { timeout: 5000 });
    published.catch(() => {});
    for (let attempt = 0; attempt < 5; attempt++) {
      await settle();
      requests.at(-1).resolve(answer());
      await clock.pass(2000);
    }
    await assert.rejects(published, { code });
  }
});

test("a doubt of before is not forgotten when the last attempt was refused", async () => {
  const { client, requests, clock } = make();
  const published = client.publish("k", "hi", { timeout: 100 });
  published.catch(() => {});
  await settle();
  requests[0].reject(new TypeError("reset"));
  await clock.pass(0);
  requests[1].resolve(refuse("not_ready", 503));
  await assert.rejects(published, (error) => error.code === "unknown_outcome" && error.unsure);
});

test("an abort ends the attempts", async () => {
  const { client, requests } = make();
  const abort = new AbortController();
  const published = client.publish("k", "hi", { signal: abort.signal });
  await settle();
  abort.abort();
  await assert.rejects(published, { name: "AbortError" });
  assert.equal(requests[0].aborted, true);
  await assert.rejects(client.publish("k", "hi", { signal: abort.signal }), { name: "AbortError" });
  assert.equal(requests.length, 1);
});

test("an abort also ends a pause and a publish on a WebSocket", async () => {
  const { channel, sockets, client, requests, clock } = await welcomed();
  const abort = new AbortController();
  const one = channel.publish("hi", { signal: abort.signal });
  const other = client.publish("k", "hi", { signal: abort.signal });
  await settle();
  requests[0].resolve(json({ code: "not_ready" }, { status: 503, headers: { "Retry-After": "9" } }));
  await settle();
  assert.equal(sockets[0].sent.length, 1);
  abort.abort();
  await assert.rejects(one, { name: "AbortError" });
  await assert.rejects(other, { name: "AbortError" });
  await clock.pass(20_000);
  assert.equal(requests.length, 1);
});

test("on an open channel it goes over the WebSocket", async () => {
  const { channel, sockets, requests } = await welcomed();
  const published = [channel.publish("hi", { id: "a" }), channel.publish({ b: 1 }, { id: "b" }),
    channel.publish(new Uint8Array([0, 255]), { id: "c" })];
  assert.deepEqual(sockets[0].sent, [{ type: "publish", id: "a", data: "hi" },
    { type: "publish", id: "b", json: { b: 1 } }, { type: "publish", id: "c", base64: "AP8=" }]);
  sockets[0].say({ type: "ack", id: "b", seq: 2 });
  sockets[0].say({ type: "ack", id: "a", seq: 1 });
  sockets[0].say({ type: "error", id: "c", code: "bad_payload", message: "no" });
  assert.deepEqual(await published[0], { id: "a", seq: 1 });
  assert.deepEqual(await published[1], { id: "b", seq: 2 });
  await assert.rejects(published[2], { code: "bad_payload" });
  assert.equal(requests.length, 0);
  assert.equal(channel.status, "open");
});

test("a WebSocket that ends before the ack is followed by HTTP with the same id", async () => {
  const { channel, sockets, requests, clock } = await welcomed();
  const published = channel.publish("hi");
  sockets[0].end();
  await clock.pass(0);
  const request = requests.find(({ method }) => method === "POST");
  assert.equal(request.headers["Idempotency-Key"], sockets[0].sent[0].id);
  request.resolve(json(ACKNOWLEDGED));
  assert.equal((await published).seq, 9);
});

test("a publish that is never acknowledged is tried by HTTP", async () => {
  const { channel, sockets, requests, clock } = await welcomed();
  const published = channel.publish("hi");
  await clock.pass(7000);
  sockets[0].say({ type: "pong" });
  await clock.pass(8000);
  assert.equal(requests.length, 1);
  requests[0].resolve(json(ACKNOWLEDGED));
  assert.equal((await published).seq, 9);
});

test("one id twice at a time is one message", async () => {
  const { channel, sockets } = await welcomed();
  const published = [channel.publish("hi", { id: "a" }), channel.publish("hi", { id: "a" })];
  assert.equal(sockets[0].sent.length, 1);
  sockets[0].say({ type: "ack", id: "a", seq: 1 });
  assert.deepEqual((await Promise.all(published)).map(({ seq }) => seq), [1, 1]);
});

test("without an open WebSocket it goes by HTTP at once", async () => {
  const { channel, sockets, requests } = await open(make());
  channel.publish("hi");
  await settle();
  assert.equal(sockets[0].sent.length, 0);
  assert.equal(requests.length, 1);
});

test("close() does not give up a publish", async () => {
  const { channel, requests, clock } = await welcomed();
  const published = channel.publish("hi");
  channel.close();
  await clock.pass(0);
  requests[0].resolve(json(ACKNOWLEDGED));
  assert.equal((await published).seq, 9);
});

test("a document is read with its version, and none is null", async () => {
  const { client, requests } = make();
  const read = client.state("k").get();
  await settle();
  assert.equal(requests[0].path, "/v1/channels/k/state");
  requests[0].resolve(new Response('{"a":1}',
    { headers: { ETag: '"7"', "Content-Type": "application/json" } }));
  const found = await read;
  assert.equal(found.version, 7);
  assert.equal(found.contentType, "application/json");
  assert.deepEqual(found.json(), { a: 1 });
  assert.equal(found.text(), '{"a":1}');
  const none = client.state("k").get();
  await settle();
  requests[1].resolve(refuse("no_state", 404));
  assert.equal(await none, null);
});

test("conditions of writes are those of HTTP", async () => {
  const { client, requests } = make();
  const state = client.state("k");
  for (const [call, method, header, value] of [
    [() => state.set("x"), "PUT", "If-Match", undefined],
    [() => state.set("x", { ifVersion: 7 }), "PUT", "If-Match", '"7"'],
    [() => state.set("x", { ifVersion: "*" }), "PUT", "If-Match", "*"],
    [() => state.set("x", { ifVersion: null }), "PUT", "If-None-Match", "*"],
    [() => state.delete(), "DELETE", "If-Match", undefined],
    [() => state.delete({ ifVersion: 8 }), "DELETE", "If-Match", '"8"'],
  ]) {
    const written = call();
    await settle();
    const request = requests.at(-1);
    assert.equal(request.method, method);
    assert.equal(request.headers[header], value);
    request.resolve(json({ version: 8, incarnation: "x", node: "n1" }));
    assert.deepEqual(await written, { version: 8, incarnation: "x" });
  }
  await assert.rejects(state.delete({ ifVersion: null }), TypeError);
});

test("a conflict is an error of its own and tells the version", async () => {
  for (const version of [9, null]) {
    const { client, requests } = make();
    const written = client.state("k").set("x", { ifVersion: 7 });
    await settle();
    requests[0].resolve(refuse("version_conflict", 412, { version }));
    await assert.rejects(written, (error) => error instanceof VersionConflict &&
      error instanceof RinghopError && error.version === version && error.code === "version_conflict");
    assert.equal(requests.length, 1);
  }
});

test("a write that may have been done is not done again, one that was not is", async () => {
  for (const answer of [(one) => one.reject(new TypeError("reset")),
    (one) => one.resolve(refuse("unknown_outcome", 504))]) {
    const { client, requests } = make();
    const written = client.state("k").set("x");
    await settle();
    answer(requests[0]);
    await assert.rejects(written, (error) => error.unsure);
    assert.equal(requests.length, 1);
  }
  const { client, requests, clock } = make();
  const written = client.state("k").set("x");
  await settle();
  requests[0].resolve(refuse("not_ready", 503));
  await clock.pass(0);
  requests[1].resolve(json({ version: 1, incarnation: "x" }));
  assert.equal((await written).version, 1);
});

test("what a channel follows is listed, added and removed by HTTP", async () => {
  const { client, requests } = make();
  const follows = client.follows("user/42");
  const table = { key: "user/42", follows: [{ topic: "room:7", position: "c0ffee0123456789:3" }] };
  for (const [call, method, path] of [
    [() => follows.list(), "GET", ""],
    [() => follows.add("room:7"), "PUT", "/room%3A7"],
    [() => follows.add("room:7", { after: "0" }), "PUT", "/room%3A7?after=0"],
    [() => follows.remove("room:7"), "DELETE", "/room%3A7"],
  ]) {
    const answered = call();
    await settle();
    const request = requests.at(-1);
    assert.equal(request.method, method);
    assert.equal(request.path + request.url.search, `/v1/channels/user%2F42/follows${path}`);
    request.resolve(json(table));
    assert.deepEqual(await answered, table.follows);
  }
  await assert.rejects(follows.add(""), TypeError);
});

test("a follow whose outcome is not known is tried again", async () => {
  const { client, clock, requests } = make();
  const answered = client.follows("k").add("t");
  await settle();
  requests[0].resolve(refuse("unknown_outcome", 504));
  await settle();
  await clock.pass(1000);
  requests[1].resolve(json({ key: "k", follows: [] }));
  assert.deepEqual(await answered, []);
});

test("who follows is asked of any node, again if need be", async () => {
  const { client, requests, clock } = make();
  const said = { count: 2, followers: ["user:1"], truncated: true, missing: ["n3"] };
  const asked = client.followers("a/b", { limit: 1 });
  await settle();
  assert.equal(requests[0].path + requests[0].url.search, "/v1/channels/a%2Fb/followers?limit=1");
  requests[0].reject(new TypeError("reset"));
  await clock.pass(0);
  requests[1].resolve(json({ key: "a/b", nodes: [{ node: "n1", count: 2 }], ...said }));
  assert.deepEqual(await asked, said);
  await assert.rejects(client.followers(""), TypeError);
});
