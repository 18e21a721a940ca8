// SPDX-License-Identifier: Apache-2.0
// Making elements. All text goes in as text, never as markup: names come from other people's files.
"use strict";

// element("p", {class: "lead"}, "text", child...): null as an attribute or child is left out.
function element(name, attributes = {}, ...children) {
  return filled(document.createElement(name), attributes, children);
}

function svg(name, attributes = {}, ...children) {
  return filled(document.createElementNS("http://www.w3.org/2000/svg", name), attributes, children);
}

function filled(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "style") {
      node.style.cssText = value; // as an attribute it would be against the pages' policy
    } else if (value !== null) {
      node.setAttribute(name, value);
    }
  }
  node.append(...children.filter((child) => child !== null));
  return node;
}

function byId(id) {
  return document.getElementById(id);
}

// The room inside a card that is as wide as |place|.
function contentWidth(place) {
  return Math.max(240, place.clientWidth - (window.innerWidth <= 560 ? 30 : 42));
}

// rows([["Published", "12"], ...]): a list of names and values under a title, or without one.
function rows(list, title = null) {
  return element("dl", { class: "rows" },
    title === null ? null : element("h3", {}, title),
    ...list.flatMap(([name, value]) => [element("dt", {}, name), element("dd", {}, value)]));
}

// The same side by side, each value below its name.
function facts(list) {
  return element("dl", { class: "facts" }, ...list.map(([name, value]) =>
    element("div", {}, element("dt", {}, name), element("dd", {}, value))));
}

// --- The colours of nodes ------------------------------------------------------------------------

const NODE_COLORS = 12;
const nodeNumbers = new Map();

// A node has one colour on the whole page. The first twelve have colours that were chosen; the
// others get hues that are as far from each other as can be.
function nodeColor(node) {
  if (!nodeNumbers.has(node)) {
    nodeNumbers.set(node, nodeNumbers.size);
  }
  const number = nodeNumbers.get(node);
  return number < NODE_COLORS ? `var(--node-${number})`
    : `hsl(${Math.round(number * 137.508) % 360} 45% 55%)`;
}

function swatch(node) {
  return element("span", { class: "swatch", style: `--color: ${nodeColor(node)}` });
}

// Whoever points at a node anywhere on the page sees it everywhere: all others are dimmed. The
// function that is returned does so with what was drawn since.
function watchNodes() {
  let shown = null;
  const dim = () => {
    for (const one of document.querySelectorAll("[data-node]")) {
      one.classList.toggle("dim", shown !== null && one.dataset.node !== shown);
    }
  };
  const show = (node) => {
    shown = node;
    dim();
  };
  document.addEventListener("pointerover", (event) => {
    const of = event.target.closest("[data-node]");
    show(of && event.pointerType === "mouse" ? of.dataset.node : null);
  });
  document.addEventListener("pointerleave", () => show(null));
  return dim;
}

// For sorting: n2 stands before n10.
function byName(a, b) {
  return a.localeCompare(b, "en", { numeric: true });
}

// --- Bars with a target --------------------------------------------------------------------------

// A bar of |value| with a mark at |target| (null: none), both out of |most|.
function bullet(value, target, most, color) {
  const at = (number) => 100 * number / Math.max(most, 1e-9);
  return svg("svg", { class: "bullet", viewBox: "0 0 100 14", preserveAspectRatio: "none" },
    svg("rect", { class: "track", width: 100, height: 6, y: 4 }),
    svg("rect", { width: at(value), height: 6, y: 4, style: `fill: ${color}` }),
    target === null ? null
      : svg("rect", { class: "target", x: Math.min(at(target), 99.4), width: 0.6, height: 14 }));
}
