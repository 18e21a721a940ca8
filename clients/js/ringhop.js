// SPDX-License-Identifier: Apache-2.0
/**
 * The ringhop client for browsers and Node.js: one module, no dependencies. What it speaks is in
 * docs/protocol.md, how to use it in README.md, its types in ringhop.d.ts.
 *
 *   Client ---- Channel ---- Cursor          where we are in the log: finds what comes twice, and gaps
 *      |           |
 *      |           +-- link, next: Link      one connection: WebSocketLink, EventsLink or PollLink
 *      |                             |
 *      +---------- Nodes ------------+       the start URLs, and requests to them
 *
 * A channel has at most two links. `link` delivers; `next` is being opened and takes its place once the
 * owner has welcomed it. So a moved channel is left only when the new connection stands, and the
 * change from one transport to another is the same thing. The states of a channel:
 *
 *              +------------------- lost, first retry at once ---------------------+
 *              v                                                                   |
 *   (open) connecting --- welcome -----------> open --- moved ---> moving ---------+
 *           |      ^                           | ^                 |  |            |
 *           |      |                           | +---- welcome ----+  |            |
 *         fails  pause over, or online again   |                      |            |
 *           v      |                           |                      |            |
 *           waiting <--------------------------+----- lost again -----+            |
 *                                              +-----------------------------------+
 *   any state --- close(), an abort, or an error that no retry mends ---> closed
 *
 * Two rules make it safe to connect anew at any time, even without need: a link always begins at the
 * cursor's position, and the cursor lets every seq pass once.
 */

const PROTOCOL = "ringhop.v1"; // says that we understand `moved` in place of a redirect
const TRANSPORTS = ["websocket", "events", "poll"];
// What a `where` answer calls each, and the last segment of its path.
const NAMES = { websocket: "ws", events: "events", poll: "messages" };

const STATUS_MOVES = {
  connecting: ["open", "waiting", "closed"],
  open: ["moving", "connecting", "waiting", "closed"],
  moving: ["open", "connecting", "waiting", "closed"],
  waiting: ["connecting", "closed"],
  closed: [],
};

const DEFAULTS = {
  transports: TRANSPORTS,
  locate: "where",
  retryBase: 500, // ms; doubled with every failure, and drawn from 0 to that (full jitter)
  retryMax: 15_000,
  connectTimeout: 15_000, // until the welcome; a node may keep us waiting for five seconds
  requestTimeout: 15_000,
  pingInterval: 20_000, // a silent WebSocket is pinged after this
  pongTimeout: 10_000, // and is dead when nothing came after that
  silenceTimeout: 70_000, // of a stream of events; nodes send a comment every 25 seconds
  pollWait: 25, // seconds
  publishTimeout: 60_000, // nodes know message ids for `limits.dedup_age`, five minutes
};

const STABLE_MS = 5_000; // a connection that lived for so long was no failure
const FAILURES_UNPROVEN = 2; // attempts before the next transport is tried, for one that never worked
const FAILURES_PROVEN = 6; // and for one that did
const BETTER_MS = 60_000; // after that a channel on a fallback tries a better transport again
const BETTER_MAX_MS = 3_600_000;
const SOCKET_STATE_MAX = 65_536; // bytes of a document that is written over a WebSocket
const MOVES_MAX = 8; // `moved` in a row without a welcome; nodes end a chain after three

const REAL_CLOCK = {
  now: () => performance.now(),
  after(ms, callback) {
    const timer = setTimeout(callback, ms);
    return () => clearTimeout(timer);
  },
};

// --- errors --------------------------------------------------------------------------------------

/** What went wrong. `code` is one of docs/protocol.md, or `network`, `timeout` or `closed` of ours. */
export class RinghopError extends Error {
  constructor(code, message, { status = null, retryAfterMs = 0, cause } = {}) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = "RinghopError";
    this.code = code;
    this.status = status;
    this.retryAfterMs = retryAfterMs;
  }

  /** Whether the same request may do better later. */
  get retryable() {
    if (this.status === null) {
      return !this.code.startsWith("bad_") &&
        !["too_large", "not_allowed", "not_found", "closed"].includes(this.code);
    }
    return this.status === 408 || this.status === 429 ||
      (this.status >= 500 && this.status !== 501 && this.status !== 505);
  }

  /** Whether the request may have been carried out all the same. */
  get unsure() {
    if (this.status === null) {
      return ["network", "timeout", "unknown_outcome", "internal"].includes(this.code);
    }
    return this.status >= 500 && this.status !== 503;
  }
}

/** A write of the state whose condition did not hold. `version` is the present one, null for none. */
export class VersionConflict extends RinghopError {
  constructor(message, version) {
    super("version_conflict", message, { status: 412 });
    this.name = "VersionConflict";
    this.version = version;
  }
}

/** The error that an answer stands for. Its body is application/problem+json if a node wrote it. */
function problem(response, text) {
  let body = {};
  try {
    body = JSON.parse(text) ?? {};
  } catch {
    // Something between us and the node answered: the status has to do.
  }
  const message = body.detail || body.title || `HTTP status ${response.status}`;
  if (body.code === "version_conflict") {
    return new VersionConflict(message, body.version ?? null);
  }
  const seconds = Number(response.headers.get("retry-after"));
  return new RinghopError(body.code ?? `http_${response.status}`, message,
    { status: response.status, retryAfterMs: seconds > 0 ? seconds * 1000 : 0 });
}

function asError(error) {
  return error instanceof RinghopError
    ? error
    : new RinghopError("network", error?.message ?? String(error), { cause: error });
}

// --- payloads, keys, ids -------------------------------------------------------------------------

function isBytes(value) {
  return value instanceof ArrayBuffer || ArrayBuffer.isView(value);
}

function asBytes(value) {
  return value instanceof ArrayBuffer
    ? new Uint8Array(value)
    : new Uint8Array(value.buffer, value.byteOffset, value.byteLength);
}

/** {kind, value, contentType, body}: a payload as it goes into a message, or into a request. */
function encode(value, kind) {
  kind ??= typeof value === "string" ? "text" : isBytes(value) ? "bytes" : "json";
  if (kind === "text" && typeof value === "string") {
    return { kind, value, contentType: "text/plain; charset=utf-8", body: value };
  }
  if (kind === "bytes" && isBytes(value)) {
    const bytes = asBytes(value).slice(); // the caller may use its buffer again
    return { kind, value: bytes, contentType: "application/octet-stream", body: bytes };
  }
  const body = kind === "json" ? JSON.stringify(value) : undefined;
  if (body === undefined) {
    throw new TypeError(`ringhop: a payload of type ${typeof value} cannot be sent as ${kind}`);
  }
  return { kind, value, contentType: "application/json", body };
}

/** The member that carries a payload in a WebSocket message. */
function payloadMember({ kind, value }) {
  if (kind === "bytes") {
    return { base64: btoa(Array.from(value, (byte) => String.fromCharCode(byte)).join("")) };
  }
  return kind === "text" ? { data: value } : { json: value };
}

function decode(message) {
  if ("json" in message) {
    return { kind: "json", data: message.json };
  }
  if ("base64" in message) {
    return { kind: "bytes", data: Uint8Array.from(atob(message.base64), (one) => one.charCodeAt(0)) };
  }
  return { kind: "text", data: message.data };
}

/** How a document of the state is shown, as nodes do it: by its type, if it is what that says. */
function decodeState({ version, contentType, bytes }) {
  const document = { version, exists: true, contentType };
  const type = contentType.split(";")[0].trim().toLowerCase();
  try {
    const text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
    if (type === "application/json") {
      return { ...document, kind: "json", data: JSON.parse(text) };
    }
    if (type !== "application/octet-stream") {
      return { ...document, kind: "text", data: text };
    }
  } catch {
    // It is not what it says.
  }
  return { ...document, kind: "bytes", data: bytes };
}

/** Where a message came from that its channel got by following. */
function origin({ topic, topic_position: topicPosition }) {
  return topic === undefined ? {} : { topic, topicPosition };
}

/** The key as a path segment. Refuses what a node would refuse, as a browser could not see why. */
function keySegment(key) {
  if (typeof key !== "string" || key === "" || new TextEncoder().encode(key).length > 512 ||
      /\p{Cc}/u.test(key) || /[\ud800-\udfff]/u.test(key)) {
    throw new TypeError("ringhop: a key is 1 to 512 bytes of UTF-8 without control characters");
  }
  if (key === "." || key === "..") {
    throw new TypeError(`ringhop: '${key}' cannot be a segment of a URL`);
  }
  return encodeURIComponent(key);
}

/** 128 random bits. Not randomUUID(): browsers have that on secure origins only. */
function randomId() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)),
    (byte) => byte.toString(16).padStart(2, "0")).join("");
}

function messageId(id) {
  if (typeof id !== "string" || !/^[\x20-\x7e]{1,128}$/.test(id)) {
    throw new TypeError("ringhop: a message id is 1 to 128 printable ASCII characters");
  }
  return id;
}

// --- time ----------------------------------------------------------------------------------------

/** Milliseconds to wait after so many failures in a row: none after the first, then full jitter. */
function backoff(failures, { retryBase, retryMax, random }, atLeastMs = 0) {
  const ceiling = failures <= 1 ? 0 : Math.min(retryMax, retryBase * 2 ** (failures - 2));
  return random() * ceiling + atLeastMs * (1 + random() / 2);
}

/** Settles as `promise` does, or rejects when the signal says so. */
function abortable(promise, signal) {
  if (!signal) {
    return promise;
  }
  return new Promise((resolve, reject) => {
    const abort = () => reject(signal.reason);
    signal.addEventListener("abort", abort, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", abort));
  });
}

// --- nodes ---------------------------------------------------------------------------------------

function startUrl(text) {
  const url = new URL(text);
  url.protocol = { "ws:": "http:", "wss:": "https:" }[url.protocol] ?? url.protocol;
  if (url.protocol !== "http:" && url.protocol !== "https:") {
    throw new TypeError(`ringhop: '${text}' is no http, https, ws or wss URL`);
  }
  url.search = url.hash = "";
  return url.href.replace(/\/$/, "");
}

function shuffle(list, random) {
  for (let last = list.length - 1; last > 0; last--) {
    const other = Math.floor(random() * (last + 1));
    [list[last], list[other]] = [list[other], list[last]];
  }
  return list;
}

/** The nodes that we know of. Which one answers does not matter: any node takes any request. */
class Nodes {
  #urls;
  #at = 0;

  constructor(urls, options) {
    this.options = options;
    this.clock = options.clock;
    // In random order, so that clients of one list do not all begin at the same node.
    this.#urls = shuffle([urls].flat().map(startUrl), options.random);
    if (this.#urls.length === 0) {
      throw new TypeError("ringhop: the URL of at least one node is needed");
    }
  }

  get start() {
    return this.#urls[this.#at];
  }

  /** Who failed is asked last. Several requests may fail at one node: they count as one failure. */
  failed(url) {
    if (url === this.start) {
      this.#at = (this.#at + 1) % this.#urls.length;
    }
  }

  /** {response, text or bytes} of a request that succeeded, headers and body within the time. */
  async ask(url, { signal, timeoutMs = this.options.requestTimeout, as = "text", ...init } = {}) {
    signal?.throwIfAborted();
    const controller = new AbortController();
    const forward = () => controller.abort(signal.reason);
    signal?.addEventListener("abort", forward, { once: true });
    const cancel = this.clock.after(timeoutMs, () => controller.abort(
      new RinghopError("timeout", `no answer in ${timeoutMs} ms`)));
    try {
      const response = await this.options.fetch(url, { ...init, signal: controller.signal });
      if (!response.ok) {
        throw problem(response, await response.text());
      }
      const bytes = as === "bytes" && new Uint8Array(await response.arrayBuffer());
      return { response, bytes, text: bytes ? null : await response.text() };
    } catch (error) {
      // What fetch throws after an abort differs from platform to platform.
      throw signal?.aborted ? signal.reason
        : asError(controller.signal.aborted ? controller.signal.reason : error);
    } finally {
      cancel();
      signal?.removeEventListener("abort", forward);
    }
  }

  /** The same at the node whose turn it is; a node that does not do is not asked again soon. */
  async askAny(path, init) {
    const start = this.start;
    try {
      return await this.ask(start + path, init);
    } catch (error) {
      if (error instanceof RinghopError && error.retryable) {
        this.failed(start);
      }
      throw error;
    }
  }

  /** Runs `work(attempt)` until it succeeds, fails for good, or the time is over. */
  async retry(work, { signal, timeoutMs, mayRetry = (error) => error.retryable }) {
    const until = this.clock.now() + timeoutMs;
    let unsure = false;
    for (let failures = 1; ; failures++) {
      try {
        signal?.throwIfAborted();
        return await work(failures - 1);
      } catch (error) {
        if (!(error instanceof RinghopError) || !mayRetry(error)) {
          throw error;
        }
        unsure ||= error.unsure;
        const pause = backoff(failures, this.options, error.retryAfterMs);
        if (this.clock.now() + pause > until) {
          throw unsure && !error.unsure
            ? new RinghopError("unknown_outcome", error.message, { cause: error })
            : error;
        }
        await this.sleep(pause, signal);
      }
    }
  }

  sleep(ms, signal) {
    let cancel;
    const over = new Promise((resolve) => (cancel = this.clock.after(ms, resolve)));
    return abortable(over, signal).finally(cancel);
  }
}

// --- where we are --------------------------------------------------------------------------------

/** A position in a channel's log, `incarnation:seq`. */
class Cursor {
  #incarnation = null;
  #seq = null;
  #start; // before anything is known: undefined for the end of the log, or "0" for its beginning

  constructor(after) {
    const match = /^([0-9a-f]{16}):(\d+)$/.exec(after ?? "");
    if (match) {
      this.#incarnation = match[1];
      this.#seq = Number(match[2]);
    } else if (after === undefined || after === null || String(after) === "0") {
      this.#start = after === undefined || after === null ? undefined : "0";
    } else {
      throw new TypeError(`ringhop: '${after}' is no position`);
    }
  }

  get incarnation() {
    return this.#incarnation;
  }

  get position() {
    return this.#incarnation === null ? this.#start : `${this.#incarnation}:${this.#seq}`;
  }

  /** A link begins after `seq`. Returns whether everything since the position before follows. */
  begin({ incarnation, seq, recovered }) {
    if (incarnation === null) { // there is no such channel yet: all that it will hold is new
      const lost = this.#incarnation !== null;
      this.#incarnation = this.#seq = null;
      this.#start = "0";
      return recovered && !lost;
    }
    const known = this.#incarnation !== null;
    // A link begins where we were when it was opened; meanwhile the other one may have gone on.
    if (known && incarnation === this.#incarnation && seq <= this.#seq) {
      return recovered;
    }
    this.#incarnation = incarnation;
    this.#seq = seq;
    return recovered && !known;
  }

  /** "next" when this message is to be delivered, "again" when it was, "hole" when one is missing. */
  take(seq) {
    if (seq <= this.#seq) {
      return "again";
    }
    if (seq !== this.#seq + 1) {
      return "hole";
    }
    this.#seq = seq;
    return "next";
  }
}

// --- links ---------------------------------------------------------------------------------------

/**
 * One connection over one transport. It tells `told`: welcome, message, moved, and once end, unless
 * close() came before: after that it tells nothing.
 */
class Link {
  over = false;
  located = false; // we know a node that answers, so what fails now is the transport
  welcomed = false;
  moved = false; // it delivers nothing more
  abort = new AbortController();
  #cancelWatch = null;
  #error = null; // what the node said before it ended the connection
  #retryMs = 0; // and how long it asks us to stay away after that

  constructor(nodes, key, { transport, url, position, moves, watch, name, told }) {
    Object.assign(this, { nodes, key, transport, position, moves, watched: watch, name, told,
      start: nodes.start });
    this.options = nodes.options;
    // Not at once: the class that extends this one is not made yet, nor is our caller ready.
    Promise.resolve().then(() => this.#run(url)).catch((error) => this.end(asError(error)));
  }

  async #run(url) {
    if (this.over) {
      return;
    }
    this.watch(this.options.connectTimeout, "the connection took too long");
    url ??= await this.#locate();
    this.located = true;
    if (!this.over) {
      await this._open(this.#resume(url));
    }
  }

  /** The owner's URL; or any node's, which then redirects us. */
  async #locate() {
    if (this.options.locate === "redirect") {
      const url = new URL(`${this.start}/v1/channels/${keySegment(this.key)}/${NAMES[this.transport]}`);
      if (this.transport === "websocket") {
        url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
      }
      return url.href;
    }
    const { text } = await this.nodes.ask(`${this.start}/v1/where?key=${encodeURIComponent(this.key)}`,
      { signal: this.abort.signal });
    return JSON.parse(text)[NAMES[this.transport]];
  }

  /** The position travels in the URL: headers would need a preflight and may be lost on redirects. */
  #resume(text) {
    const url = new URL(text);
    if (this.position !== undefined) {
      url.searchParams.set("after", this.position);
    }
    if (this.watched.length > 0) {
      url.searchParams.set("watch", this.watched.join(","));
    }
    for (const [name, value] of Object.entries(this.name)) {
      url.searchParams.set(name, value);
    }
    return url.href;
  }

  /** What every transport hears: the objects of the protocol. */
  hear(object) {
    if (object.type === "welcome") {
      this.welcomed = true;
      this.told.welcome(this, object);
    } else if (object.type === "message") {
      this.told.message(this, object);
    } else if (object.type === "state") {
      this.told.state(this, { version: object.version, exists: object.exists,
        ...(object.exists && { contentType: object.content_type, ...decode(object) }) });
    } else if (object.type === "presence") {
      this.told.presence(this, object);
    } else if (object.type === "moved") {
      this.moved = true;
      this.told.moved(this, object);
    } else if (object.type === "error" && object.id === undefined) {
      this.#error = new RinghopError(object.code, object.message ?? object.code);
    }
  }

  retryIn(ms) {
    this.#retryMs = ms;
  }

  /** Something has to happen within that time. Replaces the watch before; `late` for the last. */
  watch(ms, text, late = () => this.end(new RinghopError("timeout", text))) {
    this.#cancelWatch?.();
    this.#cancelWatch = this.over ? null : this.nodes.clock.after(ms, late);
  }

  end(error) {
    if (!this.over) {
      this.close();
      if (this.#error) {
        this.#error.retryAfterMs = this.#retryMs || 1000;
      }
      this.told.end(this, this.#error ?? error);
    }
  }

  close() {
    if (!this.over) {
      this.over = true;
      this.#cancelWatch?.();
      this.abort.abort(new RinghopError("closed", "the connection was let go"));
      this._stop?.();
    }
  }

  /** Finds out soon whether the connection is alive. False when the transport cannot. */
  probe() {
    return false;
  }
}

/** Publishes go over it as well. A dead network is noticed by a ping without any answer. */
class WebSocketLink extends Link {
  #socket = null;
  #waiting = new Map(); // id: {promise, resolve, reject, cancel}

  _open(url) {
    const WebSocket = this.options.WebSocket;
    if (!WebSocket) {
      throw new RinghopError("network", "there is no WebSocket here: pass one as an option");
    }
    const socket = this.#socket = new WebSocket(url, [PROTOCOL]);
    socket.onmessage = (event) => this.#hear(event.data);
    socket.onclose = (event) => this.end(new RinghopError("network",
      `the connection was closed (${event.code}${event.reason ? ` ${event.reason}` : ""})`));
    socket.onerror = () => {}; // `close` follows; npm's ws throws what nobody listens to
  }

  #hear(text) {
    let object;
    try {
      object = JSON.parse(text);
    } catch (error) {
      this.end(asError(error));
      return;
    }
    this.#listen();
    const waiting = this.#waiting.get(object.id);
    if (waiting && object.type === "ack") {
      waiting.resolve(object);
    } else if (waiting && object.type === "error") {
      waiting.reject(object.code === "version_conflict"
        ? new VersionConflict(object.message ?? object.code, object.version)
        : new RinghopError(object.code, object.message ?? object.code));
    } else {
      this.hear(object);
    }
  }

  /** Heard something: all is well until it has been silent for some time. */
  #listen() {
    if (this.welcomed) {
      this.watch(this.options.pingInterval, "", () => this.probe());
    }
  }

  probe() {
    if (this.welcomed && !this.over) {
      this.#socket.send('{"type":"ping"}');
      this.watch(this.options.pongTimeout, "the connection is dead: no answer to a ping");
    }
    return true;
  }

  hear(object) {
    super.hear(object);
    this.#listen(); // the welcome ends the watch over the connecting
  }

  /** Until it is acknowledged. Rejects when the connection ends before that. */
  async publish(id, payload) {
    const { seq } = await this.ask({ type: "publish", id, ...payloadMember(payload) });
    return { id, seq };
  }

  /** What acknowledges a message with an id. */
  ask(message) {
    const { id } = message;
    const known = this.#waiting.get(id);
    if (known) {
      return known.promise;
    }
    const waiting = {};
    waiting.promise = new Promise((resolve, reject) => Object.assign(waiting, { resolve, reject }))
      .finally(() => {
        waiting.cancel();
        this.#waiting.delete(id);
      });
    waiting.cancel = this.nodes.clock.after(this.options.requestTimeout, () => waiting.reject(
      new RinghopError("timeout", `the ${message.type} was not acknowledged in time`)));
    this.#waiting.set(id, waiting);
    try {
      this.#socket.send(JSON.stringify(message));
    } catch (error) {
      waiting.reject(asError(error));
    }
    return waiting.promise;
  }

  _stop() {
    if (this.#socket) {
      this.#socket.onmessage = null; // on a dead network it may take minutes until it is closed
      this.#socket.close();
    }
    for (const { reject } of this.#waiting.values()) {
      reject(new RinghopError("network", "the connection ended before the acknowledgement"));
    }
  }
}

/**
 * Server-Sent Events by fetch, not by EventSource: a native EventSource that followed a redirect may ask
 * only the place it was redirected to for ever (Chromium does), so it is stranded when that owner
 * dies; it gives up at any status but 200 and does not say which; and Node.js 20 has none. No
 * `Accept`: by that a node knows an EventSource, whose connection it relays.
 */
class EventsLink extends Link {
  async _open(url) {
    const response = await this.options.fetch(url, { signal: this.abort.signal, cache: "no-store" });
    if (!response.ok) {
      throw problem(response, await response.text());
    }
    const reader = response.body.getReader();
    const decoder = new TextDecoder();
    const parser = new EventParser();
    while (!this.over) {
      const { done, value } = await reader.read();
      if (done) {
        throw new RinghopError("network", "the stream ended");
      }
      this.#feed(parser, decoder.decode(value, { stream: true }));
    }
  }

  #feed(parser, text) {
    for (const { event, data } of parser.feed(text)) {
      if (event === "retry") {
        this.retryIn(Number(data));
      } else if (!this.over) {
        this.hear(JSON.parse(data));
      }
    }
    if (this.welcomed) { // comments count as well
      this.watch(this.options.silenceTimeout, "the stream is dead: nothing came, not even a comment");
    }
  }
}

/** Takes a stream of events apart (WHATWG HTML, 9.2.6), however it was cut. */
class EventParser {
  #rest = "";
  #afterReturn = false; // a CR ended the last piece: an LF now belongs to it
  #event = "";
  #data = [];

  *feed(text) {
    if (text === "") {
      return;
    }
    const skip = this.#afterReturn && text[0] === "\n" ? 1 : 0;
    this.#afterReturn = text.endsWith("\r");
    const lines = (this.#rest + text.slice(skip)).split(/\r\n|\r|\n/);
    this.#rest = lines.pop();
    for (const line of lines) {
      yield* this.#line(line);
    }
  }

  *#line(line) {
    if (line === "") {
      if (this.#data.length) {
        yield { event: this.#event || "message", data: this.#data.join("\n") };
      }
      this.#event = "";
      this.#data = [];
      return;
    }
    const [, name, value] = /^([^:]*)(?:: ?(.*))?$/s.exec(line);
    if (name === "event") {
      this.#event = value ?? "";
    } else if (name === "data") {
      this.#data.push(value ?? "");
    } else if (name === "retry" && /^\d+$/.test(value)) {
      yield { event: "retry", data: value };
    }
  }
}

/**
 * Long polls, one after the other. The position makes sure that nothing comes twice, so there is no use
 * for an ETag here: If-None-Match would cost a browser a preflight.
 */
class PollLink extends Link {
  #incarnation; // of the answer before

  /** What is watched comes late here: it is looked for after each answer. A failure waits for the next. */
  #look() {
    if (this.watched.includes("state")) {
      new State(this.nodes, this.key).get({ signal: this.abort.signal }).then((found) => {
        if (!this.over) {
          this.told.state(this, found ? decodeState(found) : { version: null, exists: false });
        }
      }, () => {});
    }
    if (this.watched.includes("presence")) {
      presence(this.nodes, this.key, { signal: this.abort.signal }).then((clients) => {
        if (!this.over) {
          this.told.presence(this, { clients });
        }
      }, () => {});
    }
  }

  async _open(url) {
    let wait = 0; // the first answer says at once where we are
    while (!this.over) {
      const poll = new URL(url);
      poll.searchParams.set("limit", "1000");
      poll.searchParams.set("wait", String(wait));
      const timeoutMs = wait * 1000 + this.options.requestTimeout;
      this.watch(timeoutMs + 1000, "the poll took too long");
      const { response, text } = await this.nodes.ask(poll.href,
        { signal: this.abort.signal, timeoutMs, cache: "no-store" });
      const answer = JSON.parse(text);
      this.#hear(answer, response);
      this.#look();
      url = this.#following(response.url || poll.href, answer.position);
      wait = answer.more ? 0 : this.options.pollWait;
    }
  }

  #hear({ channel, incarnation, recovered, messages, position }, response) {
    if (!this.welcomed || !recovered || incarnation !== this.#incarnation) {
      const seq = messages.length ? messages[0].seq - 1 : Number(position.split(":")[1] ?? 0);
      const node = response.headers.get("ringhop-node");
      this.#incarnation = incarnation;
      this.hear({ type: "welcome", channel, node, epoch: null, incarnation, seq, recovered });
    }
    for (const message of messages) {
      if (!this.over) {
        this.hear({ type: "message", ...message });
      }
    }
  }

  /** After a redirect the next poll goes where this one ended, as the beginning of a new chain. */
  #following(text, position) {
    const url = new URL(text);
    url.searchParams.delete("hops");
    url.searchParams.delete("epoch");
    url.searchParams.set("after", position);
    return url.href;
  }
}

const LINKS = { websocket: WebSocketLink, events: EventsLink, poll: PollLink };

// --- channel -------------------------------------------------------------------------------------

/** A channel that is listened to. Made by Client.open(); its events are listed in README.md. */
export class Channel extends EventTarget {
  #nodes;
  #options;
  #cursor;
  #status = "connecting";
  #link = null; // delivers
  #next = null; // is being opened
  #transports;
  #failed = new Map(); // transport: attempts in a row that failed though we had found a node
  #proven = new Set(); // transports that have worked
  #failures = 0; // in a row, of the channel
  #openedAt = 0;
  #watch;
  #name; // what says in a URL who we are
  #clients = null; // who is there, by name: {client, meta}
  #state = null; // the last one told: {incarnation, version, exists}
  #cancelRetry = null;
  #cancelBetter = null;
  #betterMs = BETTER_MS;
  #done = []; // undoes what was set up

  constructor(nodes, key,
    { after, transports = nodes.options.transports, watch = [], client, meta, signal } = {}) {
    super();
    keySegment(key);
    this.key = key;
    this.state = new State(nodes, key, () => this.#socket());
    this.follows = new Follows(nodes, key);
    this.#watch = checkWatch(watch);
    this.#name = checkName(client, meta);
    this.#nodes = nodes;
    this.#options = nodes.options;
    this.#cursor = new Cursor(after);
    this.#transports = checkTransports(transports);
    signal?.throwIfAborted();
    this.#listenTo(signal, "abort", () => this.close());
    this.#watchPage();
    queueMicrotask(() => { // so that the caller can add listeners
      if (this.#status === "connecting") {
        this.#begin(this.#choose());
      }
    });
  }

  /** connecting, open, moving, waiting or closed. */
  get status() {
    return this.#status;
  }

  /** The transport in use, null while there is none. */
  get transport() {
    return this.#link?.transport ?? null;
  }

  /** The position after the last message delivered; give it to `after` to go on from there. */
  get position() {
    return this.#cursor.position;
  }

  /** addEventListener for those who want `detail` only. Returns a function that undoes it. */
  on(type, listener) {
    const hear = (event) => listener(event.detail);
    this.addEventListener(type, hear);
    return () => this.removeEventListener(type, hear);
  }

  /** Publishes; see Client.publish(). The first attempt takes the WebSocket if there is one. */
  publish(data, options) {
    return publish(this.#nodes, this.key, data, options, () => this.#socket());
  }

  #socket() {
    return this.#link instanceof WebSocketLink && !this.#link.over ? this.#link : null;
  }

  /** Who is there, as far as was told; null while that is not known, or not watched. */
  get clients() {
    return this.#clients && [...this.#clients.values()];
  }

  /** Goes over to another transport, from now on the preferred one; nothing is missed. */
  switchTo(transport) {
    const [wanted] = checkTransports([transport]);
    this.#transports = [wanted, ...this.#transports.filter((other) => other !== wanted)];
    this.#failed.delete(wanted);
    if (this.#link && this.#link.transport !== wanted) {
      this.#begin(wanted);
    }
  }

  /** Ends it. Publishes that are under way go on by HTTP. */
  close() {
    this.#finish(null);
  }

  // --- connecting

  /** The best transport that has not failed too often lately. */
  #choose() {
    const usable = (transport) => (this.#failed.get(transport) ?? 0) <
      (this.#proven.has(transport) ? FAILURES_PROVEN : FAILURES_UNPROVEN);
    const found = this.#transports.find(usable);
    if (!found) {
      this.#failed.clear();
    }
    return found ?? this.#transports[0];
  }

  #begin(transport, url = null, moves = 0) {
    this.#next?.close();
    this.#next = new LINKS[transport](this.#nodes, this.key, {
      transport,
      url,
      moves,
      position: this.#cursor.position,
      watch: this.#watch,
      name: transport === "poll" ? {} : this.#name, // a poll makes nobody present
      told: {
        welcome: (link, welcome) => this.#welcomed(link, welcome),
        message: (link, message) => this.#heard(link, message),
        state: (link, state) => this.#shown(link, state),
        presence: (link, presence) => this.#present(link, presence),
        moved: (link, moved) => this.#moved(link, moved),
        end: (link, error) => this.#ended(link, error),
      },
    });
  }

  #welcomed(link, { node, epoch, incarnation, seq, recovered }) {
    const before = this.#cursor.position;
    const whole = this.#cursor.begin({ incarnation, seq, recovered });
    if (link === this.#next) {
      this.#adopt(link);
    }
    const { position } = this.#cursor;
    const { transport } = link;
    this.#become("open", { node });
    this.#emit("welcome", { node, epoch, incarnation, seq, recovered: whole, transport, position });
    if (!whole) {
      this.#emit("gap", { before, position });
    }
  }

  #adopt(link) {
    this.#link?.close();
    this.#link = link;
    this.#next = null;
    this.#openedAt = this.#nodes.clock.now();
    this.#proven.add(link.transport);
    for (const transport of this.#proven) {
      this.#failed.delete(transport);
    }
    this.#planBetter();
  }

  /** On a fallback: a better transport is tried now and then, and this one let go if that works. */
  #planBetter() {
    this.#cancelBetter?.();
    this.#cancelBetter = null;
    if (this.#link.transport === this.#transports[0]) {
      this.#betterMs = BETTER_MS;
      return;
    }
    const wait = this.#betterMs * (0.5 + this.#options.random());
    this.#cancelBetter = this.#nodes.clock.after(wait, () => {
      this.#betterMs = Math.min(this.#betterMs * 2, BETTER_MAX_MS);
      if (this.#link && !this.#next) {
        this.#begin(this.#transports[0]);
      }
      if (this.#link) {
        this.#planBetter();
      }
    });
  }

  #heard(link, message) {
    const taken = this.#cursor.take(message.seq);
    if (taken === "hole") {
      link.end(new RinghopError("network", `message ${message.seq} came too early`));
    } else if (taken === "next") {
      const { seq, id, time } = message;
      this.#emit("message",
        { seq, id, time, ...decode(message), ...origin(message), position: this.#cursor.position });
    }
  }

  /** The state document as it is now. It comes again with every connection, and is told once. */
  #shown(link, state) {
    const { incarnation } = this.#cursor;
    const before = this.#state?.incarnation === incarnation ? this.#state : null;
    // By long polls one learns that there is none, and not which change made it so.
    const isNew = !before || (state.version === null ? before.exists : state.version > before.version);
    if (link === this.#link && isNew) {
      const version = state.version ?? before?.version ?? 0;
      this.#state = { incarnation, version, exists: state.exists };
      this.#emit("state", { ...state, version });
    }
  }

  /**
   * Who is there, or came and went. Every connection begins with the whole list: what differs from what
   * we knew is told, so each join and leave is told once, whatever happened between.
   */
  #present(link, { clients, left = [], joined = [], changed = [] }) {
    if (link !== this.#link || (!clients && !this.#clients)) {
      return;
    }
    const before = this.#clients ?? new Map();
    const after = new Map(clients ? [] : before);
    left.forEach(({ client }) => after.delete(client));
    for (const { client, meta } of [...(clients ?? []), ...joined, ...changed]) {
      after.set(client, meta === undefined ? { client } : { client, meta });
    }
    const isFirst = this.#clients === null;
    this.#clients = after;
    const differs = {
      left: [...before.values()].filter(({ client }) => !after.has(client)),
      joined: [...after.values()].filter(({ client }) => !before.has(client)),
      changed: [...after.values()].filter(({ client, meta }) => before.has(client) &&
        JSON.stringify(before.get(client).meta) !== JSON.stringify(meta)),
    };
    if (isFirst || Object.values(differs).some((list) => list.length > 0)) {
      this.#emit("presence", { clients: [...after.values()], ...differs });
    }
  }

  /** The channel lives elsewhere. A link that was never welcomed was at the wrong node. */
  #moved(link, { node, url }) {
    if (link === this.#next) {
      if (link.moves >= MOVES_MAX) {
        link.end(new RinghopError("redirect_limit", "sent on too often"));
      } else {
        this.#begin(link.transport, url, link.moves + 1);
      }
    } else if (link === this.#link) {
      this.#become("moving", { node });
      this.#emit("moved", { node, url });
      if (!this.#next && this.#link === link) {
        this.#begin(link.transport, url, 1);
      }
    }
  }

  // --- when something fails

  #ended(link, error) {
    this.#nodes.failed(link.start);
    if (link === this.#next) {
      this.#next = null;
      if (link.located && isTransportsFault(error)) {
        this.#failed.set(link.transport, (this.#failed.get(link.transport) ?? 0) + 1);
      }
      if (this.#link && !this.#link.moved) {
        return; // another transport was tried in vain: this one goes on
      }
      this.#link?.close();
      this.#link = null;
    } else {
      this.#link = null;
      if (this.#next) {
        this.#become("connecting", { error });
        return;
      }
    }
    this.#recover(error);
  }

  #recover(error) {
    if (!error.retryable && isNodesWord(error)) {
      this.#finish(error);
      return;
    }
    if (this.#openedAt && this.#nodes.clock.now() - this.#openedAt >= STABLE_MS) {
      this.#failures = 0;
    }
    this.#openedAt = 0;
    const delayMs = backoff(++this.#failures, this.#options, error.retryAfterMs);
    this.#become(delayMs === 0 ? "connecting" : "waiting", { error, delayMs });
    this.#cancelRetry = this.#nodes.clock.after(delayMs, () => this.#again());
  }

  #again() {
    this.#cancelRetry?.();
    this.#cancelRetry = null;
    this.#become("connecting");
    if (!this.#next) {
      this.#begin(this.#choose());
    }
  }

  #finish(error) {
    if (this.#status === "closed") {
      return;
    }
    this.#link?.close();
    this.#next?.close();
    this.#link = this.#next = null;
    this.#cancelRetry?.();
    this.#cancelBetter?.();
    this.#done.forEach((undo) => undo());
    if (error) {
      this.#emit("error", error);
    }
    this.#become("closed", { error });
  }

  // --- what the browser knows

  #listenTo(target, type, listener) {
    target?.addEventListener(type, listener);
    this.#done.push(() => target?.removeEventListener(type, listener));
  }

  #watchPage() {
    const { page } = this.#options;
    this.#listenTo(page?.window, "online", () => this.#nudge(true));
    this.#listenTo(page?.window, "offline", () => this.#link?.probe());
    this.#listenTo(page?.window, "pageshow", () => this.#nudge(false));
    this.#listenTo(page?.document, "visibilitychange", () => {
      if (page.document.visibilityState === "visible") {
        this.#nudge(false);
      }
    });
  }

  /** Timers of a hidden page are late, and a network that came back need not be the old one. */
  #nudge(networkChanged) {
    if (this.#status === "waiting") {
      this.#again();
    } else if (this.#link && !this.#link.probe() && networkChanged && !this.#next) {
      this.#begin(this.#link.transport);
    }
  }

  // --- telling

  #become(status, { node = null, delayMs = 0, error = null } = {}) {
    const previous = this.#status;
    if (status === previous) {
      return;
    }
    if (!STATUS_MOVES[previous].includes(status)) {
      throw new Error(`ringhop: a bug: from ${previous} to ${status}`);
    }
    this.#status = status;
    this.#emit("status", { status, previous, transport: this.transport, node, delayMs, error });
  }

  #emit(type, detail) {
    if (this.#status !== "closed" || type === "status") {
      this.dispatchEvent(Object.assign(new Event(type), { detail }));
    }
  }
}

/** A node wrote this error, not a proxy or the page that a hotel shows before one has paid. */
function isNodesWord(error) {
  return !error.code.startsWith("http_");
}

function isTransportsFault(error) {
  return error.code === "network" || error.code === "timeout" || !isNodesWord(error);
}

function checkTransports(transports) {
  const wrong = transports.find((transport) => !TRANSPORTS.includes(transport));
  if (wrong !== undefined || transports.length === 0) {
    throw new TypeError(`ringhop: a transport is one of ${TRANSPORTS.join(", ")}, not '${wrong}'`);
  }
  return [...transports];
}

const WATCHED = ["state", "presence"];

function checkWatch(watch) {
  const wrong = watch.find((what) => !WATCHED.includes(what));
  if (wrong !== undefined) {
    throw new TypeError(`ringhop: what can be watched is ${WATCHED.join(", ")}, not '${wrong}'`);
  }
  return [...new Set(watch)];
}

/** What a channel says in its URLs of who it is; refuses what a node would refuse. */
function checkName(client, meta) {
  if (client === undefined) {
    if (meta !== undefined) {
      throw new TypeError("ringhop: meta needs a client whose it is");
    }
    return {};
  }
  const size = (text) => new TextEncoder().encode(text).length;
  if (typeof client !== "string" || client === "" || size(client) > 128 ||
      /\p{Cc}/u.test(client) || /[\ud800-\udfff]/u.test(client)) {
    throw new TypeError("ringhop: a client is 1 to 128 bytes of UTF-8 without control characters");
  }
  const text = meta === undefined ? undefined : JSON.stringify(meta);
  if (meta !== undefined && (text === undefined || size(text) > 512)) {
    throw new TypeError("ringhop: meta is JSON of at most 512 bytes");
  }
  return text === undefined ? { client } : { client, meta: text };
}

/** What a channel is asked for that any node answers, again if need be. */
async function askAbout(nodes, key, what, signal) {
  const path = `/v1/channels/${keySegment(key)}/${what}`;
  const { text } = await nodes.retry(() => nodes.askAny(path, { signal, cache: "no-store" }),
    { signal, timeoutMs: nodes.options.publishTimeout });
  return JSON.parse(text);
}

/** Who is in a channel. */
async function presence(nodes, key, { signal } = {}) {
  return (await askAbout(nodes, key, "presence", signal)).clients;
}

/** Which channels follow a channel. */
async function followers(nodes, key, { limit = 100, signal } = {}) {
  const { count, followers: keys, truncated, missing } =
    await askAbout(nodes, key, `followers?limit=${limit}`, signal);
  return { count, followers: keys, truncated, missing };
}

// --- publish, state and follows ------------------------------------------------------------------

/** One message id over all attempts, so the channel gets the message once however often we ask. */
async function publish(nodes, key, data, options = {}, link = () => null) {
  const { id = randomId(), kind, signal, timeout = nodes.options.publishTimeout } = options;
  const payload = encode(data, kind);
  const path = `/v1/channels/${keySegment(key)}/messages`;
  const headers = { "Content-Type": payload.contentType, "Idempotency-Key": messageId(id) };
  return nodes.retry(async (attempt) => {
    // Again goes by HTTP only: any node takes it, and says in words why not (a WebSocket whose
    // message is too large is just closed).
    const socket = attempt === 0 ? link() : null;
    if (socket) {
      return abortable(socket.publish(id, payload), signal);
    }
    const { text } = await nodes.askAny(path, { method: "POST", headers, body: payload.body, signal });
    return { id, ...JSON.parse(text) };
  }, { signal, timeoutMs: timeout });
}

/** A document as it was read. */
class StateDocument {
  constructor(version, contentType, bytes) {
    Object.assign(this, { version, contentType, bytes });
  }

  text() {
    return new TextDecoder().decode(this.bytes);
  }

  json() {
    return JSON.parse(this.text());
  }
}

/** The state document of a channel. Needs no connection. */
class State {
  #nodes;
  #link;
  #path;

  constructor(nodes, key, link = () => null) {
    this.#nodes = nodes;
    this.#link = link;
    this.#path = `/v1/channels/${keySegment(key)}/state`;
  }

  /** The document, or null when there is none. */
  async get({ signal } = {}) {
    try {
      const { response, bytes } = await this.#ask({ as: "bytes", cache: "no-store", signal },
        (error) => error.retryable);
      const version = Number(/"(\d+)"/.exec(response.headers.get("etag"))?.[1]);
      return new StateDocument(version, response.headers.get("content-type"), bytes);
    } catch (error) {
      if (error instanceof RinghopError && error.code === "no_state") {
        return null;
      }
      throw error;
    }
  }

  /** Writes it; `ifVersion` is the version it must have, null for "only if there is none". */
  async set(value, { contentType, ifVersion, signal } = {}) {
    const payload = encode(value);
    const type = contentType ?? payload.contentType;
    const headers = { "Content-Type": type, ...condition(ifVersion) };
    return this.#write({ method: "PUT", headers, body: payload.body, signal },
      { type: "state_put", content_type: type, if_version: ifVersion, ...payloadMember(payload) });
  }

  async delete({ ifVersion, signal } = {}) {
    if (ifVersion === null) {
      throw new TypeError("ringhop: a document that is not there cannot be deleted");
    }
    return this.#write({ method: "DELETE", headers: condition(ifVersion), signal },
      { type: "state_delete", if_version: ifVersion });
  }

  /**
   * Tried again only when nothing can have happened: a write has no id that would make it safe. The
   * first attempt takes the WebSocket if there is one, unless the document is so large that a node
   * might close the connection for it.
   */
  async #write(init, message) {
    const fits = init.body === undefined || init.body.length <= SOCKET_STATE_MAX;
    const mayRetry = (error) => error.retryable && !error.unsure;
    const { version, incarnation } = await this.#retry(async (attempt) => {
      const socket = attempt === 0 && fits ? this.#link() : null;
      if (socket) {
        return abortable(socket.ask({ ...message, id: randomId() }), init.signal);
      }
      const { text } = await this.#nodes.askAny(this.#path, init);
      return JSON.parse(text);
    }, init, mayRetry);
    return incarnation === undefined ? { version } : { version, incarnation };
  }

  #ask(init, mayRetry) {
    return this.#retry(() => this.#nodes.askAny(this.#path, init), init, mayRetry);
  }

  #retry(work, { signal }, mayRetry) {
    return this.#nodes.retry(work,
      { signal, timeoutMs: this.#nodes.options.publishTimeout, mayRetry });
  }
}

function condition(ifVersion) {
  if (ifVersion === undefined) {
    return {};
  }
  if (ifVersion === null) {
    return { "If-None-Match": "*" };
  }
  return { "If-Match": ifVersion === "*" ? "*" : `"${ifVersion}"` };
}

/** What a channel follows. Needs no connection; any call may be repeated, so all are retried. */
class Follows {
  #nodes;
  #path;

  constructor(nodes, key) {
    this.#nodes = nodes;
    this.#path = `/v1/channels/${keySegment(key)}/follows`;
  }

  /** [{topic, position}], the position being that of the last message that was taken. */
  async list({ signal } = {}) {
    return this.#ask("", { cache: "no-store", signal });
  }

  /** From now on, or after a position. One that is followed already goes on from where it is. */
  async add(topic, { after, signal } = {}) {
    const query = after === undefined ? "" : `?after=${encodeURIComponent(after)}`;
    return this.#ask(`/${keySegment(topic)}${query}`, { method: "PUT", signal });
  }

  async remove(topic, { signal } = {}) {
    return this.#ask(`/${keySegment(topic)}`, { method: "DELETE", signal });
  }

  async #ask(rest, init) {
    const { text } = await this.#nodes.retry(() => this.#nodes.askAny(this.#path + rest, init),
      { signal: init.signal, timeoutMs: this.#nodes.options.publishTimeout });
    return JSON.parse(text).follows;
  }
}

// --- client --------------------------------------------------------------------------------------

function defaultPage() {
  return typeof document === "undefined" ? null : { window: globalThis, document };
}

/** A cluster, by the URLs of some of its nodes. */
export class Client {
  #nodes;
  #channels = new Set();

  constructor(urls, options = {}) {
    const given = Object.fromEntries(
      Object.entries(options).filter(([, value]) => value !== undefined));
    const all = {
      WebSocket: globalThis.WebSocket,
      fetch: globalThis.fetch?.bind(globalThis),
      clock: REAL_CLOCK,
      random: Math.random,
      page: defaultPage(),
      ...DEFAULTS,
      ...given,
    };
    checkTransports(all.transports);
    if (!["where", "redirect"].includes(all.locate)) {
      throw new TypeError(`ringhop: locate is 'where' or 'redirect', not '${all.locate}'`);
    }
    if (!all.WebSocket) { // Node.js before 22, and none was passed
      all.transports = all.transports.filter((transport) => transport !== "websocket");
      if (all.transports.length === 0) {
        throw new TypeError("ringhop: there is no WebSocket here: pass one as the option WebSocket");
      }
    }
    this.#nodes = new Nodes(urls, all);
  }

  /** Listens to a channel: a Channel that begins to connect at once. */
  open(key, options) {
    const channel = new Channel(this.#nodes, key, options);
    this.#channels.add(channel);
    channel.on("status", ({ status }) => {
      if (status === "closed") {
        this.#channels.delete(channel);
      }
    });
    return channel;
  }

  /** Publishes without a connection, through any node. Resolves when no copy is missing. */
  publish(key, data, options) {
    return publish(this.#nodes, key, data, options);
  }

  /** Who is in a channel: [{client, meta, connections}]. */
  presence(key, options) {
    return presence(this.#nodes, key, options);
  }

  /** The state document of a channel. */
  state(key) {
    return new State(this.#nodes, key);
  }

  /** What a channel follows. */
  follows(key) {
    return new Follows(this.#nodes, key);
  }

  /** Which channels follow a channel: {count, followers, truncated, missing}. */
  followers(key, options) {
    return followers(this.#nodes, key, options);
  }

  /** Closes all channels. */
  close() {
    for (const channel of [...this.#channels]) {
      channel.close();
    }
  }
}
