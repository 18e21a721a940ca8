// SPDX-License-Identifier: Apache-2.0
// The ring before a step and the ring after it.
"use strict";

// The ring before and the ring after, side by side.
function ringPair(before, after) {
  const nodes = (ring) => (ring.members.length === 1 ? "node" : "nodes");
  const changed = changedShare(before, after);
  const [big, small] = changed > 0 ? [formatShare(changed), "moved"]
    : [String(after.members.length), "as before"];
  return element("div", { class: "rings" },
    ringPicture(before, null, String(before.members.length), nodes(before), "The ring before"),
    svg("svg", { viewBox: "0 0 20 20" },
      svg("path", { class: "arrow", d: "M2 10H17M11 4l6 6-6 6" })),
    ringPicture(after, ringOwners(before), big, small, "The ring after, with what changed hands"));
}

// A row for each node of either ring: its share now, and a mark where it was.
function ringShares(before, after) {
  const nodes = [...new Set([...before.members, ...after.members].map((member) => member.node))];
  nodes.sort(byName);
  const most = Math.max(...before.members.concat(after.members).map((member) => member.share));
  const style = nodes.length > 6 ? "bars dense" : "bars";
  return element("div", { class: style }, ...nodes.map((node) => {
    const [was, is] = [memberOf(before, node), memberOf(after, node)];
    const weight = is && is.weight !== 1 ? `weight ${is.weight}` : null;
    const change = was ? `${formatShare(was.share)} → ` : "new, ";
    return element("div", { "data-node": node },
      element("span", { class: "name" }, swatch(node), node,
        weight === null ? null : element("small", {}, weight)),
      bullet(is ? is.share : 0, was ? was.share : null, most, nodeColor(node)),
      element("span", { class: "value" },
        element("span", { class: "soft" }, change), is ? formatShare(is.share) : "gone"));
  }));
}
