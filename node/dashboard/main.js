// SPDX-License-Identifier: Apache-2.0
// Listens to /v1/watch and draws what it says.
"use strict";

const QUIET_MS = 4_000; // events come every second
const AGAIN_MS = 2_000; // after an answer that was no stream

let ring = null; // the present one
let former = null; // who owned each cell before, or null
let latest = null; // event
let heardAt = performance.now();
let source = null;

const dimAgain = watchNodes();

function arrivedTotal(nodes) {
  return nodes.reduce((sum, one) => sum + (one.status ? arrivedOf(one.status) : 0), 0);
}

function showRing() {
  if (ring && ring.cells.length > 0) {
    drawRing(ring, former);
    byId("changed").textContent = former
      ? "Inside: what changed hands last, in the colour of the former owner." : "";
  } else {
    byId("ring").replaceChildren(element("p", { class: "soft" }, "No node has weight: nobody owns a key."));
  }
}

function takeRing(event) {
  if (event.ring === undefined) {
    return;
  }
  const before = ring;
  ring = event.ring;
  if (!ring) {
    return;
  }
  ring.members.map((member) => member.node).sort(byName).forEach(nodeColor);
  if (before && before.epoch !== ring.epoch) {
    takeChange(before, ring, event.time, arrivedTotal(latest.nodes));
    if (changedShare(before, ring) > 0) {
      former = before.cells.length > 0 ? ringOwners(before) : null;
    }
  }
  drawMembers(ring, event.nodes);
  askOwner(showRing);
  showRing();
}

// The changes that were under way are over when all is at rest.
function settleChanges(event) {
  if (isAtRest(ring, event.nodes)) {
    for (const change of changes.filter((one) => one.settledAt === null)) {
      change.settledAt = event.time;
      change.arrived = arrivedTotal(event.nodes) - change.arrivedBefore;
    }
  }
}

function take(event) {
  heardAt = performance.now();
  takeRing(event);
  takeSample(event);
  settleChanges(event);
  latest = event;
  drawView(ring, event);
  drawHeadline(...judge(ring, event.nodes));
  drawTiles(ring, event.nodes);
  if (ring) {
    updateMembers(ring, event.nodes);
  }
  drawHistory();
  drawChanges();
  dimAgain();
}

function sayQuiet() {
  const quiet = performance.now() - heardAt;
  if (quiet > QUIET_MS) {
    drawHeadline("bad", `No word from ${latest ? latest.node : location.host}`,
      `For ${formatUptime(quiet)} the node that this page asks has said nothing; what stands below is from before. `
      + "Every other node has this page too.");
  }
}

// A browser connects again by itself, unless the answer was no stream.
function listen() {
  source = new EventSource("v1/watch");
  source.addEventListener("cluster", (event) => take(JSON.parse(event.data)));
  source.addEventListener("error", () => {
    if (source.readyState === EventSource.CLOSED) {
      setTimeout(listen, AGAIN_MS);
    }
  });
}

byId("owner-form").addEventListener("submit", (event) => event.preventDefault());
byId("key").addEventListener("input", () => askOwner(showRing));
window.addEventListener("resize", drawHistory);
setInterval(sayQuiet, 1000);
listen();
