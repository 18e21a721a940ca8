// SPDX-License-Identifier: Apache-2.0

/** How a channel is connected. */
export type Transport = "websocket" | "events" | "poll";

/** What a payload is: a string, any JSON value, or bytes. */
export type Kind = "text" | "json" | "bytes";

/** `incarnation:seq`: everything up to that message was seen. `"0"`: nothing was. */
export type Position = string;

export type Status = "connecting" | "open" | "moving" | "waiting" | "closed";

export interface ClientOptions {
  /** The transports to use, best first. Default: all three, WebSocket first. */
  transports?: Transport[];
  /** How to find the owner: ask a node first (the default), or go to any node and be sent on. */
  locate?: "where" | "redirect";
  /** A WebSocket class, e.g. of npm's `ws`; needed in Node.js before 22. Default: the global one. */
  WebSocket?: unknown;
  /** Default: the global fetch. */
  fetch?: typeof fetch;
  /** Milliseconds; the n-th pause is drawn from 0 to base * 2^n, at most max. Default 500. */
  retryBase?: number;
  /** Default 15000. */
  retryMax?: number;
  /** Milliseconds until a connection must be welcomed. Default 15000. */
  connectTimeout?: number;
  /** Milliseconds for one request, or for the acknowledgement of a publish. Default 15000. */
  requestTimeout?: number;
  /** A WebSocket that was silent for so many milliseconds is pinged. Default 20000. */
  pingInterval?: number;
  /** And given up when nothing came for that long after it. Default 10000. */
  pongTimeout?: number;
  /** A stream of events is given up after that; above `heartbeat.interval`. Default 70000. */
  silenceTimeout?: number;
  /** Seconds that a long poll waits, 0 to 60. Default 25. */
  pollWait?: number;
  /** Milliseconds for which a publish is retried; below `limits.dedup_age`. Default 60000. */
  publishTimeout?: number;
  /** For tests: monotonic milliseconds, and a timer that returns a function that cancels it. */
  clock?: { now(): number; after(ms: number, callback: () => void): () => void };
  /** For tests: as Math.random. */
  random?: () => number;
  /** Whose online, offline, pageshow and visibilitychange events to heed; null for nobody's. */
  page?: { window: EventTarget; document: EventTarget & { visibilityState: string } } | null;
}

export interface OpenOptions {
  /** Where to begin: a position, or "0" for all that the log holds. Default: new messages only. */
  after?: Position | 0;
  /** Overrides the client's. */
  transports?: Transport[];
  /** What is told beside the messages: changes of the state document, who comes and goes. Default: nothing. */
  watch?: Watched[];
  /** The name under which we are present in the channel: 1 to 128 bytes. Default: we are not. */
  client?: string;
  /** What we say of ourselves there: JSON of at most 512 bytes. */
  meta?: unknown;
  /** Closes the channel. */
  signal?: AbortSignal;
}

export type Watched = "state" | "presence";

/** Who is in a channel. */
export interface Present {
  client: string;
  /** Absent if it said nothing of itself. */
  meta?: any;
}

export interface PresenceChange {
  /** All who are there now. */
  clients: Present[];
  left: Present[];
  joined: Present[];
  /** With another `meta`. */
  changed: Present[];
}

export interface PublishOptions {
  /** The message id, kept over all attempts. Default: a random one. */
  id?: string;
  /** Default: by the type of the payload. `"json"` publishes a string as JSON. */
  kind?: Kind;
  /** Gives up; the message may have been published all the same. */
  signal?: AbortSignal;
  /** Overrides the client's publishTimeout. */
  timeout?: number;
}

export interface Published {
  id: string;
  seq: number;
  /** The following are known when the publish went by HTTP. */
  incarnation?: string;
  node?: string;
  connections?: number;
  duplicate?: boolean;
}

interface MessageBase {
  seq: number;
  id: string;
  /** Unix milliseconds. */
  time: number;
  /** The position after this message. */
  position: Position;
  /** The channel that it was published to, if this one got it by following. */
  topic?: string;
  /** Its position there. */
  topicPosition?: Position;
}

export type Message = MessageBase & (
  | { kind: "text"; data: string }
  | { kind: "json"; data: any }
  | { kind: "bytes"; data: Uint8Array }
);

export interface Welcome {
  /** Null where the transport does not say. */
  node: string | null;
  epoch: number | null;
  /** Null: there is no such channel yet. */
  incarnation: string | null;
  seq: number;
  /** Whether everything since the position before follows; if not, a `gap` comes next. */
  recovered: boolean;
  transport: Transport;
  position: Position;
}

export interface Gap {
  before: Position | undefined;
  position: Position;
}

export interface Moved {
  node: string;
  url: string;
}

export interface StatusChange {
  status: Status;
  previous: Status;
  transport: Transport | null;
  node: string | null;
  /** When `waiting`: milliseconds until the next attempt. */
  delayMs: number;
  /** Why it is not open. */
  error: RinghopError | null;
}

/** The state document, as it is now. */
export type StateChange =
  | { version: number; exists: false }
  | ({ version: number; exists: true; contentType: string } & (
    | { kind: "text"; data: string }
    | { kind: "json"; data: any }
    | { kind: "bytes"; data: Uint8Array }
  ));

export interface ChannelEvents {
  message: Message;
  state: StateChange;
  presence: PresenceChange;
  welcome: Welcome;
  gap: Gap;
  moved: Moved;
  status: StatusChange;
  error: RinghopError;
}

/** What went wrong; `code` is one of docs/protocol.md, or `network`, `timeout` or `closed`. */
export class RinghopError extends Error {
  constructor(code: string, message: string,
    options?: { status?: number | null; retryAfterMs?: number; cause?: unknown });
  readonly code: string;
  /** Of HTTP, or null. */
  readonly status: number | null;
  readonly retryAfterMs: number;
  /** Whether the same request may do better later. */
  readonly retryable: boolean;
  /** Whether it may have been carried out all the same. */
  readonly unsure: boolean;
}

/** A write of the state whose condition did not hold. */
export class VersionConflict extends RinghopError {
  constructor(message: string, version: number | null);
  /** The present version, null for no document. */
  readonly version: number | null;
}

export interface StateDocument {
  readonly version: number;
  readonly contentType: string | null;
  readonly bytes: Uint8Array;
  text(): string;
  json(): any;
}

export interface StateWritten {
  version: number;
  /** Known when the write went by HTTP. */
  incarnation?: string;
}

export interface State {
  /** Null when there is none. */
  get(options?: { signal?: AbortSignal }): Promise<StateDocument | null>;
  /** Rejects with VersionConflict if the version is not `ifVersion` (null: there must be none). */
  set(value: unknown, options?: { contentType?: string; ifVersion?: number | "*" | null;
    signal?: AbortSignal }): Promise<StateWritten>;
  delete(options?: { ifVersion?: number | "*"; signal?: AbortSignal }): Promise<StateWritten>;
}

export interface Follow {
  topic: string;
  /** Of the last message of it that was taken, or where it began. */
  position: Position;
}

/** Who follows a channel. */
export interface Followers {
  /** Of all of them. */
  count: number;
  /** Keys, sorted: at most `limit` (1 to 1000, 100 unless given). */
  followers: string[];
  /** Whether there are more. */
  truncated: boolean;
  /** Nodes that did not answer: the followers that they serve are not counted. */
  missing: string[];
}

/** What a channel follows: each resolves to all that it follows then. */
export interface Follows {
  list(options?: { signal?: AbortSignal }): Promise<Follow[]>;
  /** From now on, or after a position; a topic that is followed already goes on from where it is. */
  add(topic: string, options?: { after?: Position | 0; signal?: AbortSignal }): Promise<Follow[]>;
  remove(topic: string, options?: { signal?: AbortSignal }): Promise<Follow[]>;
}

/** A channel that is listened to. Made by Client.open(). */
export class Channel extends EventTarget {
  private constructor();
  readonly key: string;
  readonly state: State;
  readonly follows: Follows;
  readonly status: Status;
  /** The transport in use, null while there is none. */
  readonly transport: Transport | null;
  /** After the last message delivered; undefined before the first welcome. */
  readonly position: Position | undefined;
  /** Who is there, with `watch: ["presence"]`; null while that is not known. */
  readonly clients: Present[] | null;
  /** Calls the listener with the `detail` of each event. Returns a function that undoes it. */
  on<K extends keyof ChannelEvents>(type: K, listener: (detail: ChannelEvents[K]) => void): () => void;
  addEventListener<K extends keyof ChannelEvents>(type: K,
    listener: (event: Event & { readonly detail: ChannelEvents[K] }) => void,
    options?: boolean | AddEventListenerOptions): void;
  addEventListener(type: string, listener: EventListenerOrEventListenerObject | null,
    options?: boolean | AddEventListenerOptions): void;
  /** Resolves when every node that is to have the message has it. */
  publish(data: unknown, options?: PublishOptions): Promise<Published>;
  /** Prefers this transport from now on, and goes over to it without missing anything. */
  switchTo(transport: Transport): void;
  close(): void;
}

/** A cluster, by the URLs of some of its nodes. */
export class Client {
  constructor(urls: string | string[], options?: ClientOptions);
  open(key: string, options?: OpenOptions): Channel;
  publish(key: string, data: unknown, options?: PublishOptions): Promise<Published>;
  state(key: string): State;
  follows(key: string): Follows;
  /** Which channels follow this one. */
  followers(key: string, options?: { limit?: number; signal?: AbortSignal }): Promise<Followers>;
  /** Who is there; without connections are those who may come back yet. */
  presence(key: string, options?: { signal?: AbortSignal }): Promise<(Present & { connections: number })[]>;
  close(): void;
}
