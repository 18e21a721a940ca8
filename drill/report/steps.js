// SPDX-License-Identifier: Apache-2.0
// What each step did, and how many connections moved against how many had to.
"use strict";

// The steps, numbered, without those that only let time pass.
function numberedSteps(result) {
  const silent = (step) => /^wait\b/.test(step.name) && step.actual_moved === 0 && !step.problem;
  return (result.steps || []).filter((step) => !silent(step))
    .map((step, index) => ({ ...step, number: index + 1 }));
}

function stepFacts(step) {
  const epoch = step.epoch_after === step.epoch_before ? `${step.epoch_before}, unchanged`
    : `${step.epoch_before} → ${step.epoch_after}`;
  const settled = step.settled_ms === null ? "it did not"
    : `after ${formatDuration(step.settled_ms - step.started_ms)}`;
  const known = [
    ["Started at", formatDuration(step.started_ms)],
    ["Settled", settled],
    ["Epoch", epoch],
    ["Moved", step.expected_moved === null ? formatCount(step.actual_moved)
      : `${formatCount(step.actual_moved)} of ${formatCount(step.expected_moved)}`],
    ["Others disturbed", formatCount(step.disconnected_unaffected)],
  ];
  if (step.gap && step.gap.count > 0) {
    const times = [step.gap.p50_ms, step.gap.p99_ms, step.gap.max_ms];
    const [p50, p99, longest] = times.map(formatDuration);
    known.push(["Wait p50, p99", `${p50}, ${p99}`], ["Longest wait", longest]);
  }
  return known;
}

function stepNumber(step) {
  return element("span", { class: "number-badge" }, String(step.number));
}

function stepTitle(step) {
  return element("h3", {}, stepNumber(step), step.name);
}

// What stands for the step beside the charts.
function drawStepKeys(place, steps) {
  place.append(...steps.map((step) =>
    element("li", { class: step.problem ? "failed" : null }, stepNumber(step), step.name)));
}

function stepCard(step) {
  const ring = step.ring_before && step.ring_after;
  const classes = ["card", "step", ring ? "" : "plain", step.problem ? "failed" : ""];
  return element("article", { class: classes.join(" ").trim() },
    ...(ring ? [
      element("div", {}, stepTitle(step), rows(stepFacts(step))),
      ringPair(step.ring_before, step.ring_after),
      ringShares(step.ring_before, step.ring_after),
    ] : [
      element("div", {}, stepTitle(step),
        element("p", { class: "lead" }, "The ring stayed as it was.")),
      facts(stepFacts(step)),
    ]),
    step.problem ? element("p", { class: "problem" }, step.problem) : null);
}

function drawSteps(place, steps) {
  place.replaceChildren(...(steps.length ? steps.map(stepCard)
    : [element("p", { class: "card empty" }, "No step was taken.")]));
}

function movedRow(step, most) {
  const difference = step.actual_moved - step.expected_moved;
  const off = `${difference > 0 ? "+" : "−"}${formatCount(Math.abs(difference))}`;
  return element("div", {},
    element("span", { class: "name" }, `${step.number} · ${step.name}`),
    bullet(step.actual_moved, step.expected_moved, most, "var(--accent)"),
    element("span", { class: "value" }, formatCount(step.actual_moved),
      element("span", { class: "soft" },
        ` of ${formatCount(step.expected_moved)}${difference === 0 ? "" : `, ${off}`}`)));
}

// A row for each step whose ring says what has to move.
function drawMoved(place, steps) {
  const known = steps.filter((step) => step.expected_moved !== null);
  const most = Math.max(1, ...known.flatMap((step) => [step.expected_moved, step.actual_moved]));
  place.replaceChildren(known.length === 0
    ? element("p", { class: "card empty" }, "No step changed the ring.")
    : element("div", { class: "card" },
      element("div", { class: "bars" }, ...known.map((step) => movedRow(step, most)))));
}
