// SPDX-License-Identifier: Apache-2.0
// Scales and axes. A scale is a function from a value to a place in the picture, with its ticks.
"use strict";

// Round steps, so that about |count| of them reach from 0 to |most|.
function roundStep(most, count) {
  const raw = most / count;
  const power = 10 ** Math.floor(Math.log10(raw));
  return [1, 2, 5, 10].find((factor) => factor * power >= raw * 0.999) * power;
}

// From 0 to a little more than |most|, with ticks at round numbers that are |unit| apart or more.
function linearScale(most, start, end, unit = 0) {
  const top = most > 0 ? most * 1.03 : 1;
  const step = Math.max(unit, roundStep(top, 5));
  const scale = (value) => start + (end - start) * value / top;
  scale.ticks = Array.from({ length: Math.floor(top / step) + 1 }, (_, index) => index * step);
  return scale;
}

// From a power of ten to a power of ten.
function logScale(least, most, start, end) {
  const low = Math.floor(Math.log10(least) + 1e-9);
  const high = Math.max(low + 1, Math.ceil(Math.log10(most) - 1e-9));
  const scale = (value) =>
    start + (end - start) * Math.max(0, Math.log10(Math.max(value, 1e-9)) - low) / (high - low);
  scale.ticks = Array.from({ length: high - low + 1 }, (_, index) => 10 ** (low + index));
  return scale;
}

// Milliseconds from 0 to |most|, with ticks at round times.
function timeScale(most, start, end) {
  const steps = [0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200];
  const room = Math.max(2, Math.floor((end - start) / 60));
  const step = 1000 * (steps.find((one) => most / 1000 / one <= room) || 14400);
  const scale = (value) => start + (end - start) * value / Math.max(most, 1);
  scale.ticks = [];
  for (let at = 0; at <= most; at += step) {
    scale.ticks.push(at);
  }
  return scale;
}

// Horizontal lines with their values at the left.
function valueAxis(scale, left, right, format) {
  return svg("g", {}, ...scale.ticks.flatMap((tick) => {
    const y = Math.round(scale(tick)) + 0.5;
    const kind = tick === scale.ticks[0] ? "axis" : "grid";
    return [
      svg("line", { class: kind, x1: left, x2: right, y1: y, y2: y }),
      svg("text", { x: left - 7, y: y + 4, "text-anchor": "end" }, format(tick)),
    ];
  }));
}

// Times below a picture, as |format| writes them; the last one stays within |right|.
function timeAxis(scale, right, bottom, format) {
  return svg("g", {}, ...scale.ticks.flatMap((tick) => {
    const x = Math.round(scale(tick)) + 0.5;
    return [
      svg("line", { class: "axis", x1: x, x2: x, y1: bottom, y2: bottom + 4 }),
      svg("text", { x, y: bottom + 17, "text-anchor": x > right - 16 ? "end" : "middle" },
        format(tick)),
    ];
  }));
}
