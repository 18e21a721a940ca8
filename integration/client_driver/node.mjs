// SPDX-License-Identifier: Apache-2.0
// clients/js in Node.js: commands as JSON lines in, events and answers as JSON lines out.
import { webcrypto } from "node:crypto";
import readline from "node:readline";
import WebSocket from "ws";
import * as library from "../../clients/js/ringhop.js";
import { makeRun } from "./session.mjs";

globalThis.crypto ??= webcrypto; // the client wants Node.js 20; Debian 12 has 18

const tell = (object) => process.stdout.write(JSON.stringify(object) + "\n");
const run = makeRun(library, tell, { WebSocket });

readline.createInterface({ input: process.stdin })
  .on("line", async (line) => {
    const { number, ...command } = JSON.parse(line);
    tell({ number, answer: await run(command) });
  })
  .on("close", () => process.exit(0));
