// SPDX-License-Identifier: Apache-2.0
// npm's `eventsource` as a client of ringhop: `node driver.js URL`. What happens to it goes as JSON
// lines to standard output; harness/events.py is the other end.
//
//   {"event":"open"}   {"event":"error","code":500}   {"event":"welcome","id":"...","data":"..."}
//
// Told `moved`, it does what a page should: a new EventSource at the new URL, and the old one is let
// go once that is welcomed. Otherwise the library comes back by itself.
"use strict";

const NAMES = ["welcome", "message", "moved", "error"];

function tell(event, more) {
  process.stdout.write(JSON.stringify({ event, ...more }) + "\n");
}

async function main() {
  const { EventSource } = await import("eventsource");

  function open(url, previous) {
    const source = new EventSource(url);
    source.addEventListener("open", () => tell("open", { url }));
    for (const name of NAMES) {
      source.addEventListener(name, (event) => {
        if (event.data === undefined) {
          tell("broken", { code: event.code ?? null, closed: source.readyState === 2 });
          return;
        }
        tell(name, { id: event.lastEventId, data: event.data });
        if (name === "welcome" && previous) {
          previous.close();
        } else if (name === "moved") {
          open(JSON.parse(event.data).url, source);
        }
      });
    }
  }

  open(process.argv[2], null);
}

main();
