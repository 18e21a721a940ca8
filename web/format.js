// SPDX-License-Identifier: Apache-2.0
// How numbers are said. All of them take null, which is "–".
"use strict";

const NOTHING = "–";

// 12345 -> "12,345"
function formatCount(count) {
  return count === null || count === undefined ? NOTHING : Math.round(count).toLocaleString("en");
}

// For narrow places: 12345 -> "12.3k"
function formatShort(value, digits = 3) {
  for (const [unit, suffix] of [[1e9, "G"], [1e6, "M"], [1e3, "k"]]) {
    if (value >= unit) {
      return trimmed(value / unit, digits) + suffix;
    }
  }
  return trimmed(value, digits);
}

// At most so many digits, without zeros at the end.
function trimmed(value, digits = 3) {
  return String(Number(value.toPrecision(digits)));
}

// A duration beside an axis, where there is room for few letters.
function formatTick(ms, digits = 3) {
  return ms < 1000 ? `${trimmed(ms, digits)} ms` : `${trimmed(ms / 1000, digits)} s`;
}

// A duration, in the unit that suits it: "0.42 ms", "38 ms", "4.2 s", "3 min 12 s".
function formatDuration(ms) {
  if (ms === null || ms === undefined) {
    return NOTHING;
  }
  if (ms < 999.5) {
    return `${ms < 99.5 ? Number(ms.toPrecision(2)) : Math.round(ms)} ms`;
  }
  if (ms < 59950) {
    return `${(ms / 1000).toFixed(1)} s`;
  }
  const seconds = Math.round(ms / 1000);
  return `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
}

// A moment on the time axis: "0", "5 s", "2:30".
function formatMoment(ms) {
  const seconds = ms / 1000;
  if (seconds < 120) {
    return seconds === 0 ? "0" : `${trimmed(seconds)} s`;
  }
  return `${Math.floor(seconds / 60)}:${String(Math.round(seconds % 60)).padStart(2, "0")}`;
}

function formatShare(share) {
  return `${(share * 100).toFixed(1)} %`;
}

function formatBytes(bytes) {
  if (bytes === null || bytes === undefined) {
    return NOTHING;
  }
  return bytes < 1024 ? `${bytes} bytes` : `${trimmed(bytes / 1024)} KiB`;
}

// "25 Nov 2026, 04:12 UTC", in the time zone of the reader.
function formatDate(unixMs) {
  return new Date(unixMs).toLocaleString("en-GB", {
    day: "numeric", month: "short", year: "numeric", hour: "2-digit", minute: "2-digit",
    timeZoneName: "short",
  });
}

// plural(2, "node") -> "2 nodes"
function plural(count, noun, several = `${noun}s`) {
  return `${formatCount(count)} ${count === 1 ? noun : several}`;
}
