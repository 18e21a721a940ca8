// SPDX-License-Identifier: Apache-2.0
// The cluster in one sentence and six numbers.
"use strict";

// What is worth saying, the worst first: [class, title, sentence].
function judge(ring, nodes) {
  if (!ring) {
    return ["warn", "No view yet", "This node has not joined its cluster: is ZooKeeper there?"];
  }
  const names = (list) => list.map((one) => one.node).join(", ");
  const silent = nodes.filter((one) => !isHeard(one) && !isNew(one));
  const fresh = nodes.filter(isNew);
  const heard = nodes.filter(isHeard);
  const where = (test) => heard.filter((one) => test(one.status));
  const count = (name) => heard.reduce((sum, one) => sum + (one.status.copies?.[name] ?? 0), 0);
  const without = where((status) => status.zookeeper.state !== "connected");
  const absent = where((status) => status.state === "absent");
  const behind = where((status) => status.epoch !== ring.epoch);
  const toMove = toMoveOfAll(heard);
  if (silent.length > 0) {
    return ["bad", `${names(silent)} ${silent.length > 1 ? "are" : "is"} silent`,
      "Nothing was heard for some seconds. It stays a member until its session expires."];
  }
  if (absent.length > 0) {
    return ["bad", `${names(absent)} ${absent.length > 1 ? "are" : "is"} absent`,
      "The others went on without it; it is registering again."];
  }
  if (count("stalled") > 0) {
    return ["bad", "Publishes wait", `${plural(count("stalled"), "channel")} cannot commit: see docs/operations.md.`];
  }
  if (without.length > 0) {
    return ["warn", "ZooKeeper is away", `${names(without)} ${without.length > 1 ? "have" : "has"} no session. `
      + "Clients notice nothing; but no node can join, leave or be taken out."];
  }
  if (fresh.length > 0) {
    return ["moving", "The view is changing", `${names(fresh)} ${fresh.length > 1 ? "have" : "has"} just come.`];
  }
  if (behind.length > 0) {
    return ["moving", "The view is changing", `${names(behind)} ${behind.length > 1 ? "are" : "is"} not at epoch ${ring.epoch} yet.`];
  }
  if (toMove > 0) {
    return ["moving", "Channels are moving", `${plural(toMove, "channel")} to be handed over, taken over or copied.`];
  }
  if (where((status) => status.replication && !status.copies.settled).length > 0) {
    return ["moving", "Almost at rest", "Not all nodes have said yet that they have adopted the view."];
  }
  if (count("short") > 0) {
    return ["warn", "Copies are missing", `${plural(count("short"), "channel")} with fewer copies than the ${ring.replicas} wanted.`];
  }
  return ["good", "At rest", "All nodes hold the same view, and every channel is where it belongs."];
}

function isAtRest(ring, nodes) {
  return ["good", "warn"].includes(judge(ring, nodes)[0]) && ring !== null;
}

function drawHeadline(kind, title, said) {
  const place = byId("headline");
  place.className = `card ${kind}`;
  const [name, sentence] = place.children;
  if (name.textContent !== title) {
    name.textContent = title;
  }
  if (sentence.textContent !== said) {
    sentence.textContent = said;
  }
}

function tile(name, number, said) {
  return element("div", { class: "card tile" }, element("h3", {}, name),
    element("p", { class: "number" }, number), element("p", { class: "soft" }, said));
}

function drawTiles(ring, nodes) {
  const known = nodes.filter((one) => one.status !== null);
  const sum = (pick) => known.reduce((total, one) => total + (pick(one.status) ?? 0), 0);
  const sample = last(samples);
  const rate = (name) => {
    const value = sumOf(sample, name);
    return value === null ? NOTHING : formatShort(Math.round(value));
  };
  const members = ring ? ring.members : [];
  const outside = members.filter((member) => member.weight === 0).length;
  const held = sum((status) => status.copies?.held);
  byId("tiles").replaceChildren(
    tile("Nodes", formatCount(members.length - outside),
      outside > 0 ? `${outside} more outside` : "in the ring"),
    tile("Channels", formatCount(sum((status) => (status.replication ? status.copies.acting : status.channels))),
      `in ${plural(held, "copy", "copies")}`),
    tile("Connections", formatCount(sum((status) => status.connections)),
      `${formatCount(sum((status) => status.lingering))} told to move`),
    tile("Published", rate("published"), "per second"),
    tile("Delivered", rate("delivered"), "per second"),
    tile("On their way", formatCount(toMoveOfAll(nodes)), "channels"));
}

function drawView(ring, event) {
  byId("cluster").textContent = ring ? ring.cluster : "";
  byId("view").textContent = ring ? `epoch ${ring.epoch} · generation ${ring.generation} · `
    + `${ring.vnodes} points, ${plural(ring.replicas, "copy", "copies")}` : "";
  byId("from").textContent = `As ${event.node} sees it, at ${formatTime(event.time)}`;
  document.title = ring ? `${ring.cluster} · ringhop` : "ringhop";
}
