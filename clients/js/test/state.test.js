// SPDX-License-Identifier: Apache-2.0
// The state document on an open channel: watched, and written over its WebSocket.
import assert from "node:assert/strict";
import test from "node:test";
import { VersionConflict } from "../ringhop.js";
import { OTHER, Stream, json, make, open, settle } from "./fake.js";

const watching = { watch: ["state"] };
const document = (version, more = { content_type: "text/plain", data: `v${version}` }) =>
  ({ type: "state", version, exists: true, ...more });

test("what is watched stands in the URL, and nothing else can be", async () => {
  const { sockets, client } = await open(make(), watching);
  assert.deepEqual(sockets[0].query, { watch: "state" });
  assert.throws(() => client.open("k", { watch: ["weather"] }), TypeError);
});

test("a change is told with kind and data", async () => {
  const { sockets, heard } = await open(make(), watching);
  sockets[0].welcome();
  sockets[0].say({ type: "state", version: 0, exists: false });
  sockets[0].say(document(1));
  sockets[0].say(document(2, { content_type: "application/json", json: { a: 1 } }));
  sockets[0].say(document(3, { content_type: "x/y", base64: "AP8=" }));
  sockets[0].say({ type: "state", version: 4, exists: false });
  assert.deepEqual(heard.state, [
    { version: 0, exists: false },
    { version: 1, exists: true, contentType: "text/plain", kind: "text", data: "v1" },
    { version: 2, exists: true, contentType: "application/json", kind: "json", data: { a: 1 } },
    { version: 3, exists: true, contentType: "x/y", kind: "bytes", data: new Uint8Array([0, 255]) },
    { version: 4, exists: false }]);
});

test("no version is told twice or after a later one, over a move and back", async () => {
  const { sockets, heard } = await open(make(), watching);
  const versions = () => heard.state.map(({ version }) => version);
  sockets[0].welcome();
  sockets[0].say(document(5));
  sockets[0].say({ type: "moved", node: "n4", url: "ws://n4/v1/channels/k/ws?watch=state", seq: 0 });
  await settle();
  sockets[1].say(document(7)); // no welcome: not our channel yet
  sockets[1].welcome();
  sockets[0].say(document(6)); // was let go
  sockets[1].say(document(5));
  assert.deepEqual(versions(), [5]);
  sockets[1].say(document(6));
  sockets[1].say(document(6));
  assert.deepEqual(versions(), [5, 6]);
});

test("another incarnation counts anew", async () => {
  const { sockets, heard, clock } = await open(make(), watching);
  sockets[0].welcome();
  sockets[0].say(document(5));
  sockets[0].end();
  await clock.pass(0);
  sockets[1].welcome(0, { incarnation: OTHER, recovered: false });
  sockets[1].say({ type: "state", version: 0, exists: false });
  sockets[1].say(document(1));
  assert.deepEqual(heard.state.map(({ version }) => version), [5, 0, 1]);
});

test("on events it is told as well", async () => {
  const { requests, heard } = await open(make({ transports: ["events"] }), watching);
  assert.equal(requests[0].url.searchParams.get("watch"), "state");
  const stream = new Stream();
  requests[0].resolve(new Response(stream.body));
  await settle();
  stream.welcome();
  stream.say(document(1));
  await settle();
  assert.equal(heard.state[0].data, "v1");
});

test("on long polls it is looked for after each answer", async () => {
  const { requests, heard } = await open(make({ transports: ["poll"] }), watching);
  const poll = async (seq) => {
    const asked = requests.filter(({ path }) => path.endsWith("/messages")).at(-1);
    asked.resolve(json({ channel: "k", incarnation: OTHER, recovered: true, messages: [],
      position: `${OTHER}:${seq}`, more: false }));
    await settle();
    return requests.filter(({ path }) => path.endsWith("/state")).at(-1);
  };
  const answer = (version, type, body) =>
    new Response(body, { headers: { ETag: `"${version}"`, "Content-Type": type } });
  (await poll(1)).resolve(json({ code: "no_state" }, { status: 404 }));
  await settle();
  (await poll(1)).resolve(answer(1, "application/json", '{"a":1}'));
  await settle();
  (await poll(1)).resolve(answer(1, "application/json", '{"a":1}'));
  await settle();
  (await poll(1)).resolve(answer(2, "application/json", "{"));
  await settle();
  (await poll(1)).resolve(json({ code: "no_state" }, { status: 404 }));
  await settle();
  assert.deepEqual(heard.state.map(({ version, exists, kind }) => [version, exists, kind]),
    [[0, false, undefined], [1, true, "json"], [2, true, "bytes"], [2, false, undefined]]);
});

test("a write takes the WebSocket, and is answered there", async () => {
  const { sockets, requests, channel } = await open(make());
  sockets[0].welcome();
  const written = channel.state.set({ a: 1 }, { ifVersion: null });
  await settle();
  const { id, ...asked } = sockets[0].sent[0];
  assert.deepEqual(asked,
    { type: "state_put", content_type: "application/json", if_version: null, json: { a: 1 } });
  sockets[0].say({ type: "ack", id, version: 1 });
  assert.deepEqual(await written, { version: 1 });
  const removed = channel.state.delete({ ifVersion: 1 });
  await settle();
  assert.equal(sockets[0].sent[1].type, "state_delete");
  sockets[0].say({ type: "error", id: sockets[0].sent[1].id, code: "version_conflict",
    message: "no", version: 2 });
  await assert.rejects(removed, (error) => error instanceof VersionConflict && error.version === 2);
  assert.equal(requests.length, 0);
});

test("a large document goes by HTTP, and so does a write that is tried again", async () => {
  const { sockets, requests, channel, clock } = await open(make());
  sockets[0].welcome();
  const large = channel.state.set("x".repeat(65_537));
  await settle();
  assert.equal(sockets[0].sent.length, 0);
  requests[0].resolve(json({ version: 1, incarnation: OTHER }));
  assert.deepEqual(await large, { version: 1, incarnation: OTHER });
  const again = channel.state.set("x");
  await settle();
  sockets[0].say({ type: "error", id: sockets[0].sent[0].id, code: "not_ready", message: "no" });
  await clock.pass(0);
  assert.equal(requests[1].method, "PUT");
  requests[1].resolve(json({ version: 2, incarnation: OTHER }));
  assert.equal((await again).version, 2);
});

test("a write whose connection ends before the answer may have been done", async () => {
  const { sockets, requests, channel } = await open(make());
  sockets[0].welcome();
  const written = channel.state.set("x");
  await settle();
  sockets[0].end();
  await assert.rejects(written, (error) => error.unsure);
  assert.equal(requests.length, 0);
});
