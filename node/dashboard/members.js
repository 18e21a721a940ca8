// SPDX-License-Identifier: Apache-2.0
// The table of members. Its rows stay and only their texts change, so that one can point at them.
"use strict";

const STATES = {
  member: ["good", "in the ring"], outside: ["warn", "outside"], absent: ["bad", "absent"],
  starting: ["warn", "starting"], stopping: ["warn", "stopping"],
};

function formatRate(rates, name) {
  return rates ? formatShort(Math.round(rates[name])) : NOTHING;
}

function formatUptime(ms) {
  const minutes = Math.floor(ms / 60_000);
  if (minutes < 2) {
    return `${Math.round(ms / 1000)} s`;
  }
  return minutes < 120 ? `${minutes} min` : `${Math.floor(minutes / 60)} h`;
}

// Each column: name, what it is in a row, and in the row of the sums.
const COLUMNS = [
  ["Channels", ({ status }) => formatCount(status.replication ? status.copies.acting : status.channels)],
  ["Connections", ({ status }) => formatCount(status.connections)],
  ["Published /s", ({ rates }) => formatRate(rates, "published")],
  ["Delivered /s", ({ rates }) => formatRate(rates, "delivered")],
  ["Moving", ({ status }) => formatCount(toMoveOf(status))],
  ["Up for", ({ status }) => formatUptime(status.uptime_ms)],
];

function stateOf(one, sharesView) {
  if (!isHeard(one)) {
    return one.age_ms === null ? ["warn", isNew(one) ? "has just come" : "not heard"]
      : ["bad", `silent for ${formatUptime(one.age_ms)}`];
  }
  if (one.status.zookeeper.state !== "connected") {
    return ["warn", "without ZooKeeper"];
  }
  if (!sharesView) {
    return ["moving", `at epoch ${one.status.epoch ?? NOTHING}`];
  }
  return STATES[one.status.state] ?? ["warn", one.status.state];
}

// The dashboard of another node, where this browser may reach it: the loopback is that of its machine.
function dashboardOf(member) {
  const isLocal = (host) => /^(localhost|127\.[\d.]+|\[::1\])$/.test(host);
  const url = URL.parse?.(`http://${member.admin}/`) ?? null;
  return url && (!isLocal(url.hostname) || isLocal(location.hostname)) ? url.href : null;
}

function nameCell(node, member, isMixed) {
  const url = member ? dashboardOf(member) : null;
  const said = member ? [member.zone && `zone\u00a0${member.zone}`,
    member.weight !== 1 && `weight\u00a0${member.weight}`,
    isMixed && `version\u00a0${member.version}`].filter(Boolean).join(", ") : "no member";
  return element("th", { scope: "row" }, element("span", { class: "name" }, swatch(node),
    url ? element("a", { href: url, rel: "noreferrer" }, node) : node,
    said ? element("small", {}, said) : null));
}

function shareCell(member, most) {
  const share = member ? member.share : 0;
  return element("td", { class: "share" }, element("span", { class: "name" },
    bullet(share, null, most, nodeColor(member ? member.node : "")),
    element("span", { class: "value" }, formatShare(share))));
}

function rowOf(node) {
  return [...byId("members").querySelectorAll("tbody tr")].find((row) => row.dataset.node === node);
}

// All rows, for a new ring.
function drawMembers(ring, nodes) {
  const most = Math.max(...ring.members.map((member) => member.share), 1e-9);
  const names = nodes.map((one) => one.node).sort(byName);
  const isMixed = new Set(ring.members.map((member) => member.version)).size > 1;
  byId("members").replaceChildren(
    element("thead", {}, element("tr", {}, ...["Node", "State", "Share", ...COLUMNS.map(([name]) => name)]
      .map((name) => element("th", { scope: "col" }, name)))),
    element("tbody", {}, ...names.map((node) => {
      const member = memberOf(ring, node);
      return element("tr", { "data-node": node }, nameCell(node, member, isMixed),
        element("td", { class: "state" }), shareCell(member, most),
        ...COLUMNS.map(() => element("td", { class: "value" })));
    })));
}

// What the nodes say now.
function updateMembers(ring, nodes) {
  for (const one of nodes) {
    const row = rowOf(one.node);
    if (!row) {
      continue;
    }
    const [kind, said] = stateOf(one, one.status?.epoch === ring.epoch);
    const state = row.querySelector(".state");
    state.className = `state ${kind}`;
    state.textContent = said;
    const cells = [...row.querySelectorAll(":scope > .value")];
    cells.forEach((cell, index) => {
      cell.textContent = one.status ? COLUMNS[index][1](one) : NOTHING;
    });
    row.classList.toggle("silent", !isHeard(one));
  }
}
