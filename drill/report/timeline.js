// SPDX-License-Identifier: Apache-2.0
// What happened over time: charts with one time axis, on which the steps are marked.
"use strict";

const MARGIN = { left: 50, right: 10, top: 30, bottom: 24 };
const POINTS_MAX = 700; // more cannot be seen; a long drill has tens of thousands

// The charts of a result: what each shows, as lists of values beside the list of times.
function timelineCharts(series) {
  const perSecond = (values) => values.map((value) => value * 1000 / series.interval_ms);
  return [
    {
      id: "connections", title: "Connections per node", height: 250, draw: drawLayers,
      format: formatCount,
      curves: series.nodes.map((node) => ({
        name: node, node, color: nodeColor(node), values: series.connections[node] || [],
      })),
    },
    {
      id: "latency", title: "Publish latency", height: 190, draw: drawCurves, scale: latencyScale,
      format: formatDuration,
      curves: [
        { name: "p99", color: "var(--accent-2)", values: series.latency_p99_ms, combine: highest },
        { name: "p50", color: "var(--accent)", values: series.latency_p50_ms, combine: highest },
      ],
    },
    {
      id: "messages", title: "Messages per second", height: 170, draw: drawCurves,
      format: formatCount,
      curves: [
        {
          name: "delivered", color: "var(--accent)", values: perSecond(series.delivered),
          combine: mean,
        },
        {
          name: "published", color: "var(--accent-2)", values: perSecond(series.published),
          combine: mean, dash: "5 4", // where each has one receiver, it lies on the other
        },
      ],
    },
    {
      id: "moves", title: "Connections that moved, per second", height: 140, draw: drawColumns,
      format: formatCount,
      curves: [
        { name: "moved", color: "var(--accent)", values: perSecond(series.moves), combine: mean },
      ],
    },
  ];
}

// --- Making many points fewer --------------------------------------------------------------------

function mean(values) {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

function highest(values) {
  const known = values.filter((value) => value !== null);
  return known.length ? Math.max(...known) : null;
}

function last(values) {
  return values[values.length - 1];
}

// One value for each |group| of them.
function thinned(values, group, combine) {
  const fewer = [];
  for (let at = 0; at < values.length; at += group) {
    fewer.push(combine(values.slice(at, at + group)));
  }
  return fewer;
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

// A crash makes latencies of a thousand times the usual: those are shown by their magnitude.
function latencyScale(chart, bottom, top) {
  const values = curveValues(chart.curves).filter((value) => value > 0);
  const [least, most] = [Math.min(...values), Math.max(...values)];
  return values.length && most > 20 * least ? logScale(least, most, bottom, top)
    : linearScale(mostOf(chart), bottom, top);
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

function tip(chart, index, time) {
  return element("div", { class: "tip" },
    element("div", {}, `at ${formatDuration(time)}`),
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

// Adds |chart.point(index, withTip)|, which shows the time that is pointed at, or none for null.
function drawChart(chart, times, steps, until, width, pointAt) {
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
  timeAxis(x, right, bottom),
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
      showTip(figure, picture, tip(chart, index, times[index]), x(times[index]));
    }
  };
  return figure;
}

function thinnedChart(chart, group) {
  const curves = chart.curves.map((curve) =>
    ({ ...curve, values: thinned(curve.values, group, curve.combine || last) }));
  return { ...chart, curves };
}

// Draws all charts into |place|, as wide as that is.
function drawTimeline(place, result, steps) {
  const series = result.series;
  place.replaceChildren();
  if (!series || series.at_ms.length === 0) {
    place.append(element("p", { class: "card empty" },
      "The drill ended before anything was measured."));
    return;
  }
  const group = Math.ceil(series.at_ms.length / POINTS_MAX);
  const times = thinned(series.at_ms, group, last);
  const until = Math.max(last(times), ...steps.map((step) => step.settled_ms || step.started_ms));
  const charts = timelineCharts(series).map((chart) => thinnedChart(chart, group));
  const pointAt = (index, pointed) =>
    charts.forEach((chart) => chart.point(index, chart === pointed));
  const width = contentWidth(place);
  place.append(...charts.map((chart) => drawChart(chart, times, steps, until, width, pointAt)));
}
