// SPDX-License-Identifier: Apache-2.0
// A clock that goes only when told to, and a server that says only what it is told to.
import { webcrypto } from "node:crypto";
import { Client } from "../ringhop.js";

globalThis.crypto ??= webcrypto; // the client wants Node.js 20; Debian 12 has 18

export const INCARNATION = "c0ffee0123456789";
export const OTHER = "0123456789c0ffee";

/** Lets everything happen that can happen without the clock. */
export async function settle() {
  for (let turn = 0; turn < 5; turn++) {
    await new Promise((resolve) => setImmediate(resolve));
  }
}

export class Clock {
  #now = 1000;
  #timers = new Set();

  now() {
    return this.#now;
  }

  after(ms, callback) {
    const timer = { at: this.#now + ms, callback };
    this.#timers.add(timer);
    return () => this.#timers.delete(timer);
  }

  get timers() {
    return this.#timers.size;
  }

  /** Goes on by so much; what is due happens in order. */
  async pass(ms) {
    const end = this.#now + ms;
    await settle();
    for (;;) {
      const due = [...this.#timers].filter(({ at }) => at <= end).sort((a, b) => a.at - b.at)[0];
      if (!due) {
        break;
      }
      this.#timers.delete(due);
      this.#now = Math.max(this.#now, due.at);
      due.callback();
      await settle();
    }
    this.#now = end;
  }
}

/** The far end of a WebSocket is the test. */
function socketClass(sockets) {
  return class FakeWebSocket {
    sent = [];
    closed = false;

    constructor(url, protocols) {
      Object.assign(this, { url, protocols });
      sockets.push(this);
    }

    get query() {
      return Object.fromEntries(new URL(this.url).searchParams);
    }

    send(text) {
      this.sent.push(JSON.parse(text));
    }

    close() {
      this.closed = true;
    }

    // --- what the node does

    say(object) {
      this.onmessage?.({ data: JSON.stringify(object) });
    }

    welcome(seq = 0, more = {}) {
      this.say({ type: "welcome", channel: "k", node: "n1", epoch: 1, incarnation: INCARNATION, seq,
        recovered: true, ...more });
    }

    message(seq, more = { data: `m${seq}` }) {
      this.say({ type: "message", seq, id: `i${seq}`, time: 5, ...more });
    }

    end(code = 1006) {
      this.onclose?.({ code, reason: "" });
    }
  };
}

/** A stream of events whose pieces the test sends. */
export class Stream {
  #controller;
  #encoder = new TextEncoder();

  constructor() {
    this.body = new ReadableStream({ start: (controller) => (this.#controller = controller) });
  }

  write(text) {
    this.#controller.enqueue(typeof text === "string" ? this.#encoder.encode(text) : text);
  }

  say(object) {
    this.write(`event: ${object.type}\ndata: ${JSON.stringify(object)}\n\n`);
  }

  welcome(seq = 0, more = {}) {
    this.say({ type: "welcome", channel: "k", node: "n1", epoch: 1, incarnation: INCARNATION, seq,
      recovered: true, ...more });
  }

  message(seq) {
    this.say({ type: "message", seq, id: `i${seq}`, time: 5, data: `m${seq}` });
  }

  end() {
    this.#controller.close();
  }

  fail() {
    this.#controller.error(new TypeError("terminated"));
  }
}

export function json(body, { status = 200, headers = {} } = {}) {
  return new Response(JSON.stringify(body), { status, headers });
}

/** Fetches that wait until the test answers them. */
class Requests extends Array {
  fetch = (url, init = {}) => new Promise((resolve, reject) => {
    const request = { url: new URL(url), path: new URL(url).pathname, method: init.method ?? "GET",
      headers: init.headers ?? {}, body: init.body, signal: init.signal, resolve, reject };
    init.signal?.addEventListener("abort", () => {
      request.aborted = true;
      reject(init.signal.reason);
    });
    this.push(request);
  });
}

/** A client of nodes a and b, with everything that it touches. `random` 0.5 makes half of a pause. */
export function make(options = {}, urls = ["http://a", "http://b"]) {
  const clock = new Clock();
  const sockets = [];
  const requests = new Requests();
  const client = new Client(urls, {
    clock, fetch: requests.fetch, WebSocket: socketClass(sockets), random: () => 0.5, page: null,
    locate: "redirect", ...options,
  });
  return { client, clock, sockets, requests, last: (list) => list.at(-1) };
}

/** A channel, and lists of all that it emitted: heard.message, heard.gap ... */
export async function open(made, options = {}, key = "k") {
  const channel = made.client.open(key, options);
  const heard = {};
  for (const type of ["message", "welcome", "gap", "state", "presence", "moved", "status", "error"]) {
    heard[type] = [];
    channel.on(type, (detail) => heard[type].push(detail));
  }
  heard.seqs = () => heard.message.map(({ seq }) => seq);
  heard.statuses = () => heard.status.map(({ status }) => status);
  await settle();
  return { ...made, channel, heard };
}
