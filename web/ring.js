// SPDX-License-Identifier: Apache-2.0
// The ring as a picture: who owns which part of the hash space, and what changed hands.
"use strict";

const RING = { size: 180, outer: 88, inner: 64, formerOuter: 60, formerInner: 53 };

// The piece of a band between two cells, clockwise from the top.
function sector(from, to, cells, outer, inner) {
  const point = (cell, radius) => {
    const angle = 2 * Math.PI * cell / cells;
    const [x, y] = [Math.sin(angle) * radius, -Math.cos(angle) * radius];
    return `${x.toFixed(2)} ${y.toFixed(2)}`;
  };
  return `M${point(from, outer)}A${outer} ${outer} 0 0 1 ${point(to, outer)}`
    + `L${point(to, inner)}A${inner} ${inner} 0 0 0 ${point(from, inner)}Z`;
}

// |owners|: the name of a node for each cell, or null. One path for each node, of all its pieces.
function ringBand(owners, outer, inner) {
  const cells = owners.length;
  const pieces = new Map();
  let from = 0;
  for (let to = 1; to <= cells; to++) {
    // An arc of more than half a circle would be drawn the other way round.
    if (to === cells || owners[to] !== owners[from] || to - from >= cells / 3) {
      const node = owners[from];
      if (node !== null) {
        pieces.set(node, (pieces.get(node) || "") + sector(from, to, cells, outer, inner));
      }
      from = to;
    }
  }
  return [...pieces].map(([node, d]) => svg("path", {
    d, "data-node": node, style: `fill: ${nodeColor(node)}`,
  }, svg("title", {}, node)));
}

function ringOwners(ring) {
  return ring.cells.map((member) => ring.members[member].node);
}

// The former owner of each cell that has another one now; null for the others.
function changedCells(former, owners) {
  return former.map((node, cell) => (node === owners[cell] ? null : node));
}

// |former|: the owners before, to show what changed hands, or null. |big| and |small| are words in
// the middle.
function ringPicture(ring, former, big, small, label) {
  const owners = ringOwners(ring);
  const half = RING.size / 2;
  const width = (RING.outer + RING.inner) / 2;
  return svg("svg", {
    class: "ring", viewBox: `${-half} ${-half} ${RING.size} ${RING.size}`,
    role: "img", "aria-label": label,
  },
  svg("circle", { class: "hollow", r: width, "stroke-width": RING.outer - RING.inner }),
  svg("g", { class: "data" }, ...ringBand(owners, RING.outer, RING.inner)),
  former === null ? null : svg("g", {}, ...ringBand(changedCells(former, owners),
    RING.formerOuter, RING.formerInner)),
  svg("text", { class: "big", y: 5, "text-anchor": "middle" }, big),
  svg("text", { y: 22, "text-anchor": "middle" }, small));
}

function memberOf(ring, node) {
  return ring.members.find((member) => member.node === node);
}

// The share of the hash space that has another owner: what all that gained have gained. The cells
// would tell it less exactly, for each of them stands for several arcs.
function changedShare(before, after) {
  return after.members.reduce((sum, member) =>
    sum + Math.max(0, member.share - (memberOf(before, member.node)?.share || 0)), 0);
}
