// SPDX-License-Identifier: Apache-2.0
// The histogram of gaps. Its columns double: each reaches from half its bound to its bound.
"use strict";

const GAPS = { height: 250, left: 8, right: 8, top: 44, bottom: 40 };

// Where |ms| lies, in columns from the left.
function gapPlace(histogram, ms) {
  const index = histogram.findIndex((column) => column.up_to_ms === null || ms <= column.up_to_ms);
  if (index < 0) {
    return histogram.length;
  }
  const upper = histogram[index].up_to_ms;
  if (upper === null) {
    return index + 0.5;
  }
  const lower = index > 0 ? histogram[index - 1].up_to_ms : 0;
  const share = lower > 0 ? Math.log(ms / lower) / Math.log(upper / lower) : ms / upper;
  return index + Math.min(1, Math.max(0, share));
}

// From the first column that has something to the last, and one more on either side.
function gapColumns(histogram) {
  const used = [...histogram.keys()].filter((index) => histogram[index].count > 0);
  const end = Math.max(6, last(used) + 2);
  return histogram.slice(Math.max(0, Math.min(used[0] - 1, end - 6)), end);
}

// A line at |ms|. The first is named at its left and the second at its right, if there is room.
function gapQuantile(name, ms, columns, step, row, width) {
  const x = GAPS.left + step * gapPlace(columns, ms);
  const end = row === 0 ? x > 100 : x > width - 100;
  const y = 6 + row * 16;
  return svg("g", {},
    svg("line", { class: "quantile", x1: x, x2: x, y1: y, y2: GAPS.height - GAPS.bottom }),
    svg("text", {
      class: "quantile-text", x: x + (end ? -5 : 5), y: y + 9, "text-anchor": end ? "end" : "start",
    }, `${name} ${formatDuration(ms)}`));
}

// 64 -> "64", 2048 -> "2 s", null -> "more"
function gapBound(ms) {
  if (ms === null) {
    return "more";
  }
  return ms < 1000 ? String(ms) : formatTick(ms, 2);
}

// Bounds below the columns: every second one where they are narrow.
function gapBounds(columns, step, bottom) {
  return columns.filter((_, index) => step >= 34 || index % 2 === 0).map((column) => {
    const x = GAPS.left + (columns.indexOf(column) + 0.5) * step;
    return svg("text", { x, y: bottom + 16, "text-anchor": "middle" }, gapBound(column.up_to_ms));
  });
}

function gapPicture(gap, width) {
  const columns = gapColumns(gap.histogram);
  const step = (width - GAPS.left - GAPS.right) / columns.length;
  const bottom = GAPS.height - GAPS.bottom;
  const most = Math.max(...columns.map((column) => column.count));
  const height = (count) => (count ? Math.max(2, (bottom - GAPS.top - 14) * count / most) : 0);
  return svg("svg", {
    id: "chart-gaps", class: step < 30 ? "histogram narrow" : "histogram",
    viewBox: `0 0 ${width} ${GAPS.height}`, role: "img", "aria-label": "Histogram of gaps",
  },
  svg("path", { class: "axis", d: `M${GAPS.left} ${bottom + 0.5}H${width - GAPS.right}` }),
  svg("g", { class: "data" }, ...columns.map((column, index) => svg("rect", {
    x: GAPS.left + index * step + 1, width: step - 2, y: bottom - height(column.count),
    height: height(column.count), rx: 2,
  }, svg("title", {}, formatCount(column.count))))),
  gapQuantile("p50", gap.p50_ms, columns, step, 0, width),
  gapQuantile("p99", gap.p99_ms, columns, step, 1, width),
  ...columns.map((column, index) => (column.count === 0 ? null : svg("text", {
    class: "label", x: GAPS.left + (index + 0.5) * step, y: bottom - height(column.count) - 5,
    "text-anchor": "middle",
  }, column.count < 1000 ? String(column.count) : formatShort(column.count, 2)))),
  ...gapBounds(columns, step, bottom),
  svg("text", { x: width / 2, y: GAPS.height - 5, "text-anchor": "middle" },
    "waited up to so many milliseconds (s: seconds)"));
}

function drawGaps(place, gap) {
  place.replaceChildren(element("div", { class: "card" }, gap && gap.count > 0
    ? gapPicture(gap, contentWidth(place))
    : element("p", { class: "empty" }, "No client had to wait: no connection changed its node.")));
}
