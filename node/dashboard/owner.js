// SPDX-License-Identifier: Apache-2.0
// The picture of the ring, and on it the key that was typed.
"use strict";

const MARK = { inner: 44, outer: 90 };

let owner = null; // {key, hash, owner, replicas, epoch} of the key that stands in the field, or null
let question = 0; // which was asked last

// A needle at the place of |hash|, 16 hex digits, clockwise from the top.
function needle(hash) {
  const angle = 2 * Math.PI * parseInt(hash.slice(0, 8), 16) / 2 ** 32;
  const at = (radius) => ({ x: Math.sin(angle) * radius, y: -Math.cos(angle) * radius });
  const [from, to] = [at(MARK.inner), at(MARK.outer)];
  return svg("g", { class: "needle" },
    svg("line", { x1: from.x, y1: from.y, x2: to.x, y2: to.y }),
    svg("circle", { cx: from.x, cy: from.y, r: 4 }));
}

function drawRing(ring, former) {
  const active = ring.members.filter((member) => member.weight > 0).length;
  const shown = { members: ring.members, cells: ring.cells };
  const picture = ringPicture(shown, former, String(active), active === 1 ? "node" : "nodes",
    "The ring: which node owns which part of the hash space");
  if (owner) {
    picture.append(needle(owner.hash));
  }
  byId("ring").replaceChildren(picture);
}

function drawOwner() {
  if (!owner) {
    byId("owner").replaceChildren();
    return;
  }
  const node = (name) => element("span", { class: "name", "data-node": name }, swatch(name), name);
  byId("owner").replaceChildren(
    element("p", { class: "owner" }, node(owner.owner), element("span", { class: "soft" }, "owns it"),
      ...(owner.replicas.length ? [element("span", { class: "soft" }, "and a copy has"), ...owner.replicas.map(node)] : [])),
    element("p", { class: "soft" }, "hash ", element("code", {}, owner.hash), `, epoch ${owner.epoch}`));
}

// Asks for the key in the field, and calls |then| when `owner` is the answer.
async function askOwner(then) {
  const key = byId("key").value;
  const mine = ++question;
  let [found, trouble] = [null, null];
  if (key !== "") {
    try {
      const response = await fetch(`v1/owner?key=${encodeURIComponent(key)}`);
      const answer = await response.json();
      [found, trouble] = response.ok ? [answer, null] : [null, answer.detail ?? answer.title];
    } catch {
      trouble = "The node did not answer.";
    }
  }
  if (mine !== question) {
    return; // something else has been typed meanwhile
  }
  owner = found;
  drawOwner();
  if (trouble) {
    byId("owner").replaceChildren(element("p", { class: "trouble" }, trouble));
  }
  then();
}
