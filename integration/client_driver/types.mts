// SPDX-License-Identifier: Apache-2.0
// Uses ringhop.d.ts as an application does; the compiler has to agree, and to refuse what is wrong.
import { Channel, Client, RinghopError, VersionConflict } from "../../clients/js/ringhop.js";
import type { Message, Published } from "../../clients/js/ringhop.js";

const client = new Client(["http://a", "http://b"], { transports: ["websocket", "poll"], page: null,
  WebSocket: class {}, clock: { now: () => 0, after: () => () => {} } });
const channel: Channel = client.open("room:1", { after: "0", signal: new AbortController().signal });
const off: () => void = channel.on("message", (message: Message) => {
  const bytes: Uint8Array | null = message.kind === "bytes" ? message.data : null;
  const text: string | null = message.kind === "text" ? message.data : null;
  console.log(message.seq + 1, bytes, text, message.position.length);
});
channel.addEventListener("welcome", (event) => console.log(event.detail.recovered === true));
channel.on("error", (error) => console.log(error instanceof RinghopError, error.code));
const published: Promise<Published> = channel.publish({ a: 1 }, { id: "x", kind: "json" });
const written: Promise<{ version: number }> = client.state("k").set("text", { ifVersion: null });
written.catch((error) => error instanceof VersionConflict && error.version);
channel.state.get().then((found) => found?.json());
const watched: Channel = client.open("room:1", { watch: ["state", "presence"], client: "ada",
  meta: { name: "Ada" } });
watched.on("presence", ({ clients, joined }) => console.log(clients.length, joined[0]?.meta, watched.clients));
client.presence("room:1").then((clients) => clients[0].connections + 1);
client.followers("room:1", { limit: 7 }).then(({ count, followers, truncated, missing }) =>
  console.log(count + 1, followers[0]?.length, truncated === true, missing.length));
watched.on("state", (state) => console.log(state.version, state.exists ? state.contentType : null));
channel.switchTo("events");
off();
console.log(published, channel.status === "open");

// @ts-expect-error: there is no such transport
channel.switchTo("pigeon");
// @ts-expect-error: nor such an event
channel.on("absence", () => {});
// @ts-expect-error: nor can that be watched
client.open("k", { watch: ["weather"] });
// @ts-expect-error: channels are made by open()
new Channel();
// @ts-expect-error: a version is a number
client.state("k").delete({ ifVersion: "7" });
