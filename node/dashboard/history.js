// SPDX-License-Identifier: Apache-2.0
// What was seen in the last minutes, since the page was opened: samples for the charts, and the changes of the ring.
"use strict";

const SPANS_MS = [60_000, 120_000, 300_000]; // of the charts: the first that has room for all
const CHANGES_MAX = 50;
const SILENT_MS = 3_500; // a node that has not answered for so long is not heard any more

const samples = []; // {at, nodes: Map of name -> numbers}, one for each event, oldest first
const changes = []; // of the ring, oldest first
const lastStatus = new Map(); // of each node: the one that its rates are counted from
const listedAt = new Map(); // of each node: when it was first in an event
let changesCount = 0;
let firstAt = null; // when the first event came

// --- One node ------------------------------------------------------------------------------------

// Channels that have come to a node from another one, since it began.
function arrivedOf(status) {
  return status.replication ? status.copies.handoffs_in + status.copies.takeovers : 0;
}

// Channels that a node has yet to hand over, to mend, to take over, or to be handed.
function toMoveOf(status) {
  return status.replication
    ? status.copies.moving + status.copies.claiming + status.copies.arriving
    : Number(status.sweeping);
}

// The same of all nodes. What one has to hand over, another waits for.
function toMoveOfAll(nodes) {
  const known = nodes.filter((one) => one.status !== null).map((one) => one.status);
  const sum = (pick) => known.reduce((total, status) => total + pick(status), 0);
  return Math.max(sum((status) => (status.replication ? status.copies.arriving : 0)),
    sum((status) => toMoveOf(status) - (status.replication ? status.copies.arriving : 0)));
}

function isHeard({ age_ms: age }) {
  return age !== null && age < SILENT_MS;
}

// A member that came a moment ago and could not have answered yet.
function isNew({ node, age_ms: age }) {
  return age === null && last(samples).at - (listedAt.get(node) ?? Infinity) < SILENT_MS;
}

function totalsOf(status) {
  return { published: status.totals.published, delivered: status.totals.delivered,
    arrived: arrivedOf(status) };
}

// How much each total has grown per second since the status before; null: there was none, and the node
// began before the page was opened.
function ratesOf(node, status, seenMs) {
  const before = lastStatus.get(node);
  const isSame = before?.instance === status.instance;
  if (isSame && before.uptime_ms === status.uptime_ms) {
    return before.rates; // that one again
  }
  let rates = null;
  if (isSame || status.uptime_ms < seenMs) {
    const seconds = isSame ? (status.uptime_ms - before.uptime_ms) / 1000 : 1;
    const [was, is] = [isSame ? totalsOf(before) : null, totalsOf(status)];
    rates = Object.fromEntries(Object.entries(is).map(([name, total]) =>
      [name, (total - (was ? was[name] : 0)) / seconds]));
  }
  lastStatus.set(node, { ...status, rates });
  return rates;
}

function takeSample(event) {
  const nodes = new Map();
  firstAt ??= event.time;
  for (const one of event.nodes) {
    if (!listedAt.has(one.node)) {
      listedAt.set(one.node, event.time);
    }
    if (one.status !== null) {
      const rates = ratesOf(one.node, one.status, event.time - firstAt);
      one.rates = isHeard(one) ? rates : null;
      nodes.set(one.node, { connections: isHeard(one) ? one.status.connections : 0, ...one.rates });
    }
  }
  samples.push({ at: event.time, nodes });
  while (samples[0].at < event.time - last(SPANS_MS)) {
    samples.shift();
  }
}

// The sum of a number over all nodes; null when none of them has it.
function sumOf(sample, name) {
  const known = [...sample.nodes.values()].map((one) => one[name]).filter((value) => value !== undefined);
  return known.length ? known.reduce((sum, value) => sum + value, 0) : null;
}

// --- Changes of the ring -------------------------------------------------------------------------

function describeMember(was, is) {
  const node = (is ?? was).node;
  if (!was) {
    return is.weight > 0 ? `${node} is in the ring, with ${formatShare(is.share)} of it`
      : `${node} has come, and waits with weight 0`;
  }
  if (!is) {
    return was.weight > 0 ? `${node} is gone` : `${node} has left`;
  }
  const restarted = was.instance !== is.instance ? `${node} was started again` : null;
  if (was.weight === is.weight) {
    return restarted;
  }
  if (is.weight === 0) {
    return `${node} gives its part of the ring away`;
  }
  return was.weight === 0 ? `${node} takes ${formatShare(is.share)} of the ring`
    : `${node} has weight ${is.weight} instead of ${was.weight}`;
}

function describeChange(before, after) {
  const names = [...new Set([...before.members, ...after.members].map((member) => member.node))];
  const said = names.sort(byName)
    .map((node) => describeMember(memberOf(before, node), memberOf(after, node)))
    .filter((text) => text !== null);
  return said.length ? said.join("; ") : "The members registered again";
}

function takeChange(before, after, at, arrived) {
  changesCount += 1;
  changes.push({
    number: changesCount, name: describeChange(before, after), epoch: after.epoch, at, settledAt: null,
    share: changedShare(before, after), arrivedBefore: arrived, arrived: null,
  });
  while (changes.length > CHANGES_MAX) {
    changes.shift();
  }
}

// --- Charts --------------------------------------------------------------------------------------

function nodesOfSamples() {
  return [...new Set(samples.flatMap((sample) => [...sample.nodes.keys()]))].sort(byName);
}

function liveCharts() {
  const all = (name) => samples.map((sample) => sumOf(sample, name));
  return [
    {
      id: "connections", title: "Connections per node", height: 220, draw: drawLayers,
      format: formatCount,
      curves: nodesOfSamples().map((node) => ({
        name: node, node, color: nodeColor(node),
        values: samples.map((sample) => sample.nodes.get(node)?.connections ?? 0),
      })),
    },
    {
      id: "messages", title: "Messages per second", height: 180, draw: drawCurves, format: formatCount,
      curves: [
        { name: "delivered", color: "var(--accent)", values: all("delivered") },
        { name: "published", color: "var(--accent-2)", values: all("published"), dash: "5 4" },
      ],
    },
    {
      id: "moves", title: "Channels that came to another node, per second", height: 180,
      draw: drawColumns, format: formatCount,
      curves: [{ name: "came", color: "var(--accent)", values: all("arrived") }],
    },
  ];
}

function stepsInWindow(from) {
  return changes.filter((change) => change.at >= from).map((change) => ({
    number: change.number, name: change.name, problem: null, started_ms: change.at - from,
    settled_ms: change.settledAt === null ? null : change.settledAt - from,
  }));
}

// How long before now, in minutes and seconds.
function formatAgo(ms) {
  const seconds = Math.round(ms / 1000);
  return seconds === 0 ? "now"
    : `−${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
}

function formatTime(at) {
  return new Date(at).toLocaleTimeString("en-GB");
}

// Draws the charts anew, unless somebody looks at a point of one.
function drawHistory() {
  if (document.querySelector(".chart:hover, .chart:focus-within") || samples.length === 0) {
    return;
  }
  const until = last(samples).at;
  const span = SPANS_MS.find((ms) => ms >= until - samples[0].at) ?? last(SPANS_MS);
  const from = until - span;
  const times = samples.map((sample) => sample.at - from);
  const charts = liveCharts();
  const pointAt = (index, pointed) =>
    charts.forEach((chart) => chart.point(index, chart === pointed));
  for (const chart of charts) {
    const inside = byId(`${chart.id}-chart`);
    const axis = {
      until: span, width: contentWidth(inside), tick: (ms) => formatAgo(span - ms),
      tip: (ms) => formatTime(from + ms),
    };
    inside.replaceChildren(drawChart(chart, times, stepsInWindow(from), axis, pointAt));
  }
}

function describeRest(change) {
  if (change.settledAt === null) {
    return "not at rest yet";
  }
  const seconds = Math.max(1, Math.ceil((change.settledAt - change.at) / 1000)); // events are a second apart
  const came = change.arrived > 0 ? `${plural(change.arrived, "channel")} came to another node; ` : "";
  return `${came}at rest within ${seconds} s`;
}

function drawChanges() {
  if (changes.length === 0) {
    return;
  }
  byId("changes").replaceChildren(...[...changes].reverse().map((change) => element("li", {},
    element("span", { class: "number-badge" }, String(change.number)),
    element("span", {}, element("strong", {}, change.name), element("br"),
      element("span", { class: "soft" },
        `${formatTime(change.at)}, epoch ${change.epoch}: `
        + `${change.share > 0 ? `${formatShare(change.share)} of the ring has another owner` : "no key has another owner"}; `
        + describeRest(change))))));
}
