// SPDX-License-Identifier: Apache-2.0
// clients/js as the tests use it, the same in Node.js (node.mjs) and in a page (page.html);
// harness/client_js.py is the other end. Each command is an object, `id` names a channel:
//
//   {"do":"open","id":"c","urls":[...],"key":"k","client":{...},"channel":{"after":"0"}}
//   {"do":"publish","id":"c","data":"hi","options":{}}   -> what publish() resolves to
//   {"do":"stream","id":"c"}     publishes 1, 2, 3 ..., each after the one before is acknowledged
//   {"do":"pause","id":"c"}      -> the list of their seqs
//   {"do":"switch","id":"c","transport":"events"}   {"do":"close","id":"c"}
//   {"do":"write","id":"c","call":"set","arguments":["x"]}   state of an open channel
//   {"do":"state","urls":[...],"key":"k","call":"get","arguments":[...]}
//   {"do":"followers","urls":[...],"key":"k","options":{"limit":7}}
//   {"do":"follows","id":"c","call":"add","arguments":["room:7"]}
//
// What an error is answered with: {"error":{"name":...,"code":...,"message":...}}.

const EVENTS = ["message", "welcome", "gap", "state", "presence", "moved", "status", "error"];

const PACE_MS = 10; // so that a test has some hundred messages and not ten thousands

/** JSON has no bytes and no errors. */
function plain(value) {
  if (value instanceof Uint8Array) {
    return { bytes: Array.from(value) };
  }
  if (value instanceof Error) {
    const { name, code, status, version, message } = value;
    return { name, code, status, version, message };
  }
  if (value && Object.getPrototypeOf(value) === Object.prototype) {
    return Object.fromEntries(Object.entries(value).map(([name, one]) => [name, plain(one)]));
  }
  return value;
}

/** run(command) for a driver that hands each event to `tell`. `extra` are options of each client. */
export function makeRun({ Client }, tell, extra = {}) {
  const channels = new Map(); // id: {channel, streaming}

  async function stream(entry) {
    for (let number = 1; entry.streaming; number++) {
      const { seq } = await entry.channel.publish(String(number), { id: `${entry.name}-${number}` });
      entry.seqs.push(seq);
      tell({ id: entry.id, event: "published", detail: { seq } });
      await new Promise((resolve) => setTimeout(resolve, PACE_MS));
    }
  }

  const commands = {
    open({ id, urls, key, client, channel: options }) {
      const channel = new Client(urls, { ...extra, ...client }).open(key, options);
      channels.set(id, { id, channel, name: `${id}-${Math.random().toString(36).slice(2)}` });
      for (const event of EVENTS) {
        channel.on(event, (detail) => tell({ id, event, detail: plain(detail) }));
      }
    },
    publish: ({ id, data, options }) => channels.get(id).channel.publish(data, options),
    stream({ id }) {
      const entry = channels.get(id);
      Object.assign(entry, { streaming: true, seqs: [] });
      entry.done = stream(entry);
    },
    async pause({ id }) {
      const entry = channels.get(id);
      entry.streaming = false;
      await entry.done;
      return entry.seqs;
    },
    switch: ({ id, transport }) => channels.get(id).channel.switchTo(transport),
    close: ({ id }) => channels.get(id).channel.close(),
    write: ({ id, call, arguments: values }) => channels.get(id).channel.state[call](...values),
    follows: ({ id, call, arguments: values }) => channels.get(id).channel.follows[call](...values),
    followers: ({ urls, key, options }) => new Client(urls, extra).followers(key, options),
    async state({ urls, key, call, arguments: values }) {
      const found = await new Client(urls, extra).state(key)[call](...values);
      return found && call === "get"
        ? { version: found.version, contentType: found.contentType, text: found.text() }
        : found;
    },
  };

  return async (command) => {
    try {
      return { value: plain((await commands[command.do](command)) ?? null) };
    } catch (error) {
      return { error: plain(error) };
    }
  };
}
