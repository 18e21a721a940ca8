// SPDX-License-Identifier: Apache-2.0
// Charts of what happened over time, all with one time axis, on which steps are marked.
"use strict";

const MARGIN = { left: 50, right: 10, top: 30, bottom: 24 };

function last(values) {
  return values[values.length - 1];
}

// --- Ways to draw: all take the curves, the times and the scales, and give elements -------------

function path(points) {
  return `M${points.map(([x, y]) => `${x.toFixed(1)} ${y.toFixed(1)}`).join("L")}`;
}

// Stacked: the upper edge of all layers is the total.
function drawLayers({ curves, times, x, y }) {
  let below = times.map(() => 0);
  return curves.map((curve) => {
    const above = below.map((base, index) => base + (curve.values[index] || 0));
    const upper = above.map((value, index) => [x(times[index]), y(value)]);
    const lower = below.map((value, index) => [x(times[index]), y(value)]).reverse();
    below = above;
    return svg("path", {
      class: "layer", "data-node": curve.node, style: `fill: ${curve.color}`,
      d: `${path([...upper, ...lower])}Z`,
    });
  });
}

// Lines that are interrupted where there is no value. A value alone is a short dash.
function drawCurves({ curves, times, x, y }) {
  return curves.map((curve) => {
    const pieces = [];
    let piece = [];
    times.forEach((time, index) => {
      const value = curve.values[index];
      if (value === null || value === undefined) {
        piece = [];
        return;
      }
      if (piece.length === 0) {
        pieces.push(piece);
      }
      piece.push([x(time), y(value)]);
    });
    const d = pieces.map((points) => path(points) + (points.length > 1 ? "" : "h2")).join("");
    return svg("path", {
      class: "curve", style: `stroke: ${curve.color}`, "stroke-dasharray": curve.dash || null, d,
    });
  });
}

// A time is the end of what was counted, so a column stands before it.
function drawColumns({ curves, times, x, y }) {
  const [curve] = curves;
  const d = times.map((time, index) => {
    if (!curve.values[index]) {
      return "";
    }
    const [from, to] = [index > 0 ? times[index - 1] : 0, time].map((at) => x(at).toFixed(1));
    const top = Math.min(y(0) - 1, y(curve.values[index])).toFixed(1);
    return `M${from} ${y(0)}V${top}H${to}V${y(0)}z`;
  });
  return [svg("path", { style: `fill: ${curve.color}`, d: d.join("") })];
}

// --- Scales --------------------------------------------------------------------------------------

function curveValues(curves) {
  return curves.flatMap((curve) => curve.values).filter((value) => (value ?? null) !== null);
}

function mostOf(chart) {
  if (chart.draw === drawLayers) {
    const totals = chart.curves[0] ? chart.curves[0].values.map((_, index) =>
      chart.curves.reduce((sum, curve) => sum + (curve.values[index] || 0), 0)) : [];
    return Math.max(0, ...totals);
  }
  return Math.max(0, ...curveValues(chart.curves));
}

// --- Steps on the axis ---------------------------------------------------------------------------

function stepBadge(step, x, y) {
  return svg("g", { class: step.problem ? "badge failed" : "badge" },
    svg("title", {}, step.name),
    svg("circle", { cx: x, cy: y, r: 8 }),
    svg("text", { x, y: y + 4, "text-anchor": "middle" }, String(step.number)));
}

// A band from the start of a step until the cluster had settled, and the number of the step above.
// A number has one of two rows, or is left out where both are taken.
function stepMarks(steps, x, bottom, until) {
  const taken = [-Infinity, -Infinity];
  return svg("g", {}, ...steps.map((step) => {
    const from = x(step.started_ms);
    const to = x(step.settled_ms === null ? until : step.settled_ms);
    const row = taken.findIndex((end) => from >= end);
    const y = row < 0 ? MARGIN.top - 8 : 8 + row * 16;
    if (row >= 0) {
      taken[row] = from + 18;
    }
    return svg("g", {},
      svg("rect", { class: "band", x: from, y: MARGIN.top - 8, width: Math.max(1.5, to - from),
        height: bottom - MARGIN.top + 8 }),
      svg("line", { class: "mark", x1: from, x2: from, y1: y, y2: bottom }),
      row < 0 ? null : stepBadge(step, from, y));
  }));
}

// --- One chart -----------------------------------------------------------------------------------

function legend(curves) {
  return element("span", { class: "keys" }, ...curves.map((curve) => element("span", {
    class: "key", "data-node": curve.node || null, style: `--color: ${curve.color}`,
  }, element("i"), curve.name)));
}

function tip(chart, index, when) {
  return element("div", { class: "tip" },
    element("div", {}, when),
    ...chart.curves.map((curve) => element("div", { class: "key", style: `--color: ${curve.color}` },
      element("i"), curve.name, element("b", {}, chart.format(curve.values[index] ?? null)))));
}

// Where the pointer or the arrow keys are is told to |pointAt|, as an index into the times or null.
function watchPointer(picture, chart, x, times, pointAt) {
  const nearest = (event) => {
    const box = picture.getBoundingClientRect();
    const place = (event.clientX - box.left) * picture.viewBox.baseVal.width / box.width;
    const distances = times.map((time) => Math.abs(x(time) - place));
    return distances.indexOf(Math.min(...distances));
  };
  picture.addEventListener("pointermove", (event) => pointAt(nearest(event), chart));
  picture.addEventListener("pointerleave", () => pointAt(null, chart));
  picture.addEventListener("blur", () => pointAt(null, chart));
  picture.addEventListener("keydown", (event) => {
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (by) {
      event.preventDefault();
      pointAt(Math.min(times.length - 1, Math.max(0, (chart.pointed ?? 0) + by)), chart);
    }
  });
}

// Puts the tip beside |place| in the picture: to its right, or to its left where there is no room.
function showTip(figure, picture, box, place) {
  figure.append(box);
  const [inner, outer] = [picture.getBoundingClientRect(), figure.getBoundingClientRect()];
  const left = inner.left - outer.left + place * inner.width / picture.viewBox.baseVal.width;
  const flip = left + box.offsetWidth + 16 > outer.width;
  box.style.left = `${Math.max(4, flip ? left - box.offsetWidth - 10 : left + 10)}px`;
  box.style.top = `${inner.top - outer.top + MARGIN.top}px`;
}

// |axis|: the time that it reaches, the width of the picture in pixels, and how a time is written below
// the picture and in the tip. Adds |chart.point(index, withTip)|, which shows the time that is
// pointed at, or none for null.
function drawChart(chart, times, steps, axis, pointAt) {
  const { until, width } = axis;
  const bottom = chart.height - MARGIN.bottom;
  const right = width - MARGIN.right;
  const x = timeScale(until, MARGIN.left, right);
  const y = chart.scale ? chart.scale(chart, bottom, MARGIN.top)
    : linearScale(mostOf(chart), bottom, MARGIN.top, 1);
  const cross = svg("line", { class: "cross", y1: MARGIN.top - 8, y2: bottom });
  const picture = svg("svg", {
    id: `chart-${chart.id}`, viewBox: `0 0 ${width} ${chart.height}`, width, height: chart.height,
    tabindex: 0, role: "img", "aria-label": `${chart.title} over time`,
  },
  valueAxis(y, MARGIN.left, right, chart.format === formatDuration ? formatTick : formatShort),
  timeAxis(x, right, bottom, axis.tick),
  stepMarks(steps, x, bottom, until),
  svg("g", { class: "data" }, ...chart.draw({ curves: chart.curves, times, x, y })),
  cross);
  const figure = element("figure", { class: "card chart" },
    element("figcaption", {}, element("h3", {}, chart.title),
      chart.curves.length > 1 ? legend(chart.curves) : null),
    picture);
  watchPointer(picture, chart, x, times, pointAt);

  chart.point = (index, withTip) => {
    chart.pointed = index;
    figure.querySelector(".tip")?.remove();
    cross.style.visibility = index === null ? "hidden" : "visible";
    if (index === null) {
      return;
    }
    cross.setAttribute("x1", x(times[index]));
    cross.setAttribute("x2", x(times[index]));
    if (withTip) {
      showTip(figure, picture, tip(chart, index, axis.tip(times[index])), x(times[index]));
    }
  };
  return figure;
}
