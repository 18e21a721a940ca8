// SPDX-License-Identifier: Apache-2.0
// What happened over time, and the steps on the same axis.
"use strict";

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

// One value for each |group| of them.
function thinned(values, group, combine) {
  const fewer = [];
  for (let at = 0; at < values.length; at += group) {
    fewer.push(combine(values.slice(at, at + group)));
  }
  return fewer;
}

// A crash makes latencies of a thousand times the usual: those are shown by their magnitude.
function latencyScale(chart, bottom, top) {
  const values = curveValues(chart.curves).filter((value) => value > 0);
  const [least, most] = [Math.min(...values), Math.max(...values)];
  return values.length && most > 20 * least ? logScale(least, most, bottom, top)
    : linearScale(mostOf(chart), bottom, top);
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
  const axis = {
    until, width: contentWidth(place), tick: formatMoment, tip: (ms) => `at ${formatDuration(ms)}`,
  };
  place.append(...charts.map((chart) => drawChart(chart, times, steps, axis, pointAt)));
}
