// SPDX-License-Identifier: Apache-2.0
// The verdict and the numbers in words.
"use strict";

// What must not happen: the counts of it, what it is called, and what that means.
const GUARANTEES = [
  [["lost", "missed", "skipped"], "Lost", "acknowledged, and missing at a client"],
  [["duplicated"], "Duplicated", "sent to a client twice"],
  [["reordered", "contradicted"], "Reordered", "sent to a client out of order"],
  [["gaps_told"], "Gaps told", "clients that were told they missed something"],
  [["resets_unexplained"], "Unexplained resets", "connections that broke and no step says why"],
  [["disconnected_unaffected"], "Others disturbed",
    "disconnected although their owner did not change"],
];

function summed(totals, names) {
  return names.reduce((sum, name) => sum + (totals[name] || 0), 0);
}

function sign(ok) {
  const label = ok ? "passed" : "failed";
  return svg("svg", { class: "sign", viewBox: "0 0 60 60", role: "img", "aria-label": label },
    svg("circle", { cx: 30, cy: 30, r: 27, "stroke-width": 3 }),
    svg("path", { "stroke-width": 5, d: ok ? "M18 31l8.5 8.5L43 22" : "M21 21l18 18M39 21L21 39" }));
}

function headline(result) {
  if (result.ok) {
    return "Every guarantee held";
  }
  const broken = GUARANTEES.some(([names]) => summed(result.totals, names) > 0);
  return broken ? "A guarantee was broken" : "The drill failed";
}

function ringChanges(steps) {
  const changes = steps.filter((step) => step.epoch_after !== step.epoch_before).length;
  return ["the ring did not change", "the ring changed once", "the ring changed twice"][changes]
    || `the ring changed ${changes} times`;
}

// Everything in two sentences.
function told(result, steps) {
  const totals = result.totals;
  if (totals.acknowledged === 0) {
    return "No message was acknowledged, so there was nothing to check.";
  }
  const messages = `${plural(totals.acknowledged, "message")} acknowledged and `
    + `${formatCount(totals.delivered)} delivered over `
    + `${plural(result.load.connections, "connection")}, while ${ringChanges(steps)}.`;
  const gap = result.gap;
  if (!gap || gap.count === 0) {
    return `${messages} No connection moved.`;
  }
  return `${messages} ${plural(totals.moved, "connection")} moved; half of the waits were at most `
    + `${formatDuration(gap.p50_ms)}, 99 of 100 at most ${formatDuration(gap.p99_ms)}.`;
}

function drawVerdict(place, result, steps) {
  const load = result.load;
  const setting = [
    ["Cluster", result.machine],
    ["Copies of a channel", formatCount(result.replicas)],
    ["Channels", formatCount(load.channels)],
    ["Connections", `${formatCount(load.connections)} in `
      + plural(load.workers, "process", "processes")],
    ["Messages", `${formatCount(load.rate)} a second of ${formatBytes(load.payload_bytes)}`],
    ["Took", formatDuration(result.duration_ms)],
  ];
  place.append(
    element("div", { class: "brand" },
      element("span", {}, element("strong", {}, "ringhop drill"), ` · ${result.scenario}`),
      element("span", {}, formatDate(result.started_at))),
    element("div", { class: result.ok ? "card verdict" : "card verdict failed" },
      sign(result.ok),
      element("div", {},
        element("h1", {}, headline(result)),
        result.description ? element("p", { class: "said" }, result.description.trim()) : null,
        element("p", { class: "said" }, told(result, steps))),
      result.problems.length
        ? element("ul", { class: "problems" },
          ...result.problems.map((problem) => element("li", {}, problem)))
        : null,
      facts(setting)));
}

// A count of zero says something only if there was something to count.
function drawGuarantees(place, totals) {
  place.append(...GUARANTEES.map(([names, title, meaning]) => {
    const count = summed(totals, names);
    const state = count > 0 ? "broken" : totals.acknowledged > 0 ? "held" : "unknown";
    return element("div", { class: `card tile ${state}` },
      element("div", { class: "number" }, state === "unknown" ? null : formatCount(count),
        element("span", {}, { broken: "✗", held: "✓", unknown: "not checked" }[state])),
      element("h3", {}, title),
      element("p", {}, meaning));
  }));
}

function drawTotals(place, result) {
  const totals = result.totals;
  const counts = (list) => list.map(([name, label]) => [label, formatCount(totals[name])]);
  const waits = (times) => {
    const known = times && times.count > 0 ? times : {};
    return [
      ["half within", formatDuration(known.p50_ms)],
      ["99 of 100 within", formatDuration(known.p99_ms)],
      ["longest", formatDuration(known.max_ms)],
    ];
  };
  place.append(
    element("div", { class: "card" }, rows(counts([
      ["published", "published"], ["acknowledged", "acknowledged"], ["retried", "tried again"],
      ["unknown", "never answered"], ["refused", "refused"], ["delivered", "delivered to clients"],
      ["replayed", "sent again after a move"]]), "Messages")),
    element("div", { class: "card" }, rows(counts([
      ["connects", "made"], ["redirected", "sent on to the owner"], ["moved", "moved"],
      ["resets_explained", "reset, explained by a step"], ["failed_connects", "tries that failed"],
      ["not_connected", "missing at the end"]]), "Connections")),
    element("div", { class: "card" },
      rows(waits(result.publish_latency), "A publish was acknowledged"),
      element("br"),
      rows(waits(result.gap), "A moved client was back")));
}

function drawAbout(place, result) {
  const save = element("button", { type: "button" }, "Save the result as JSON");
  save.addEventListener("click", () => {
    const file = new Blob([byId("result").textContent], { type: "application/json" });
    const download = `${result.scenario}.json`;
    const link = element("a", { href: URL.createObjectURL(file), download });
    link.click();
    URL.revokeObjectURL(link.href);
  });
  place.append(element("span", {}, `ringhop ${result.version}`), save);
}
