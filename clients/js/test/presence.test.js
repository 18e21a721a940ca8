// SPDX-License-Identifier: Apache-2.0
// Who is in a channel: named in the URL, and told once whatever the connection goes through.
import assert from "node:assert/strict";
import test from "node:test";
import { OTHER, json, make, open, settle } from "./fake.js";

const watching = { watch: ["presence"] };
const whole = (...names) => ({ type: "presence",
  clients: names.map((client) => ({ client, connections: 1 })) });
const news = (more) => ({ type: "presence", left: [], joined: [], changed: [], ...more });
const names = (list) => list.map(({ client }) => client);

test("who we are stands in the URL, also after a loss", async () => {
  const { sockets, clock } = await open(make(), { client: "a b", meta: { n: "é" } });
  assert.deepEqual(sockets[0].query, { client: "a b", meta: '{"n":"é"}' });
  sockets[0].welcome();
  sockets[0].end();
  await clock.pass(0);
  assert.equal(sockets[1].query.client, "a b");
});

test("what a node would refuse is refused at once", async () => {
  const { client } = make();
  for (const options of [{ client: "" }, { client: "a\nb" }, { client: "x".repeat(129) },
    { client: 7 }, { meta: 1 }, { client: "a", meta: "x".repeat(511) }, { client: "a", meta: () => 1 },
    { watch: ["people"] }]) {
    assert.throws(() => client.open("k", options), TypeError);
  }
});

test("the first list is all joins, and what follows is applied to it", async () => {
  const { sockets, heard, channel } = await open(make(), watching);
  sockets[0].welcome();
  assert.equal(channel.clients, null);
  sockets[0].say({ type: "presence", clients: [{ client: "ada", meta: 1, connections: 2 }] });
  sockets[0].say(news({ joined: [{ client: "bob" }] }));
  sockets[0].say(news({ left: [{ client: "ada" }], changed: [{ client: "bob", meta: [2] }] }));
  sockets[0].say(news({ left: [{ client: "bob" }], joined: [{ client: "bob", meta: 3 }] }));
  assert.deepEqual(heard.presence, [
    { clients: [{ client: "ada", meta: 1 }], left: [], joined: [{ client: "ada", meta: 1 }],
      changed: [] },
    { clients: [{ client: "ada", meta: 1 }, { client: "bob" }], left: [], joined: [{ client: "bob" }],
      changed: [] },
    { clients: [{ client: "bob", meta: [2] }], left: [{ client: "ada", meta: 1 }], joined: [],
      changed: [{ client: "bob", meta: [2] }] },
    { clients: [{ client: "bob", meta: 3 }], left: [], joined: [],
      changed: [{ client: "bob", meta: 3 }] }]);
  assert.deepEqual(channel.clients, [{ client: "bob", meta: 3 }]);
});

test("an empty list is told, once", async () => {
  const { sockets, heard, channel } = await open(make(), watching);
  sockets[0].welcome();
  sockets[0].say(whole());
  assert.deepEqual(heard.presence, [{ clients: [], left: [], joined: [], changed: [] }]);
  assert.deepEqual(channel.clients, []);
});

test("a new connection tells only what differs", async () => {
  const { sockets, heard, clock } = await open(make(), watching);
  sockets[0].welcome();
  sockets[0].say(whole("ada", "bob"));
  sockets[0].say({ type: "moved", node: "n4", url: "ws://n4/v1/channels/k/ws?watch=presence", seq: 0 });
  await settle();
  sockets[1].welcome();
  sockets[0].say(news({ left: [{ client: "bob" }] })); // was let go
  sockets[1].say(whole("ada", "bob"));
  assert.equal(heard.presence.length, 1);
  sockets[1].end();
  await clock.pass(0);
  sockets[2].welcome(0, { incarnation: OTHER, recovered: false });
  sockets[2].say(whole("bob", "eve"));
  assert.equal(heard.presence.length, 2);
  assert.deepEqual(names(heard.presence[1].left), ["ada"]);
  assert.deepEqual(names(heard.presence[1].joined), ["eve"]);
});

test("on long polls one is nobody, and looks after each answer", async () => {
  const { requests, heard } = await open(make({ transports: ["poll"] }), { ...watching, client: "ada" });
  assert.equal(requests[0].url.searchParams.has("client"), false);
  requests[0].resolve(json({ channel: "k", incarnation: OTHER, recovered: true, messages: [],
    position: `${OTHER}:0`, more: false }));
  await settle();
  const asked = requests.find(({ path }) => path === "/v1/channels/k/presence");
  asked.resolve(json({ clients: [{ client: "bob", connections: 1 }] }));
  await settle();
  assert.deepEqual(names(heard.presence[0].joined), ["bob"]);
});

test("who is there is asked of any node, again if need be", async () => {
  const { client, requests, clock } = make();
  const asked = client.presence("a/b");
  await settle();
  assert.equal(requests[0].path, "/v1/channels/a%2Fb/presence");
  requests[0].reject(new TypeError("reset"));
  await clock.pass(0);
  requests[1].resolve(json({ clients: [{ client: "ada", meta: 1, connections: 0 }] }));
  assert.deepEqual(await asked, [{ client: "ada", meta: 1, connections: 0 }]);
});
