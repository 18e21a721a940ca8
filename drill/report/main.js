// SPDX-License-Identifier: Apache-2.0
// Puts the page together from the result that stands in it.
"use strict";

// Nodes get their colours in the order of their names, also those that only some rings have.
function nameNodes(result, steps) {
  const rings = steps.flatMap((step) => [step.ring_before, step.ring_after]);
  const members = rings.flatMap((ring) => (ring ? ring.members : []));
  const names = [...(result.series?.nodes || []), ...members.map((member) => member.node)];
  names.sort(byName).forEach(nodeColor);
}

function main() {
  const result = JSON.parse(byId("result").textContent);
  const steps = numberedSteps(result);
  document.title = `${result.ok ? "✓" : "✗"} ${result.scenario} · ringhop drill`;
  nameNodes(result, steps);
  drawVerdict(byId("verdict"), result, steps);
  drawGuarantees(byId("guarantees"), result.totals);
  drawStepKeys(byId("step-keys"), steps);
  drawTimeline(byId("timeline"), result, steps);
  drawSteps(byId("steps"), steps);
  drawMoved(byId("moved"), steps);
  drawGaps(byId("gaps"), result.gap);
  drawTotals(byId("totals"), result);
  drawAbout(byId("about"), result);
  watchNodes();

  let width = window.innerWidth;
  window.addEventListener("resize", () => {
    if (window.innerWidth !== width) {
      width = window.innerWidth;
      drawTimeline(byId("timeline"), result, steps);
      drawGaps(byId("gaps"), result.gap);
    }
  });
}

main();
