// SPDX-License-Identifier: Apache-2.0
// Chromium, without a window, for looking at pages. Commands come as JSON lines on standard input,
// each is answered by one JSON line on standard output; harness/browser.py is the other end.
//
//   {"do":"open","url":"file:///...","width":1200,"height":900,"scheme":"dark"}
//        -> {"ok":true}; closes the page before it
//   {"do":"evaluate","script":"document.title"}  -> {"ok":true,"value":"..."}
//   {"do":"press","selector":"#a","key":"Tab","times":2}
//   {"do":"type","selector":"#a","text":"words"}
//   {"do":"click","selector":"#a"}
//   {"do":"move","x":10,"y":20}                  the mouse, to this place of the window
//   {"do":"screenshot","path":"a.png"}           -> {"ok":true}; the whole page
//   {"do":"print"}                               -> {"ok":true}; shows it as on paper from now on
//   {"do":"seen"}                                -> {"ok":true,"value":{"errors":[],"requests":[]}}
//
// What fails is answered with {"ok":false,"error":"..."}.
"use strict";
const readline = require("readline");
const { chromium } = require("playwright-core");

const [executablePath] = process.argv.slice(2);
let browser = null;
let context = null;
let page = null;
let seen = null; // errors of the page, and what it asked for beside itself

async function open({ url, width, height, scheme }) {
  browser ??= await chromium.launch({
    executablePath,
    args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
      "--disable-background-networking", "--disable-component-update", "--disable-sync",
      // A camera and a microphone that are made up, and calls on a machine that has no network.
      "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream",
      "--allow-loopback-in-peer-connection"],
  });
  await context?.close();
  context = await browser.newContext({ viewport: { width, height }, colorScheme: scheme });
  page = await context.newPage();
  seen = { errors: [], requests: [] };
  page.on("pageerror", (error) => seen.errors.push(error.stack));
  page.on("console", (message) => {
    if (message.type() === "error" || message.type() === "warning") {
      seen.errors.push(message.text());
    }
  });
  page.on("dialog", (dialog) => {
    seen.errors.push(`dialog: ${dialog.message()}`);
    dialog.dismiss();
  });
  page.on("request", (request) => {
    if (request.url() !== url && !request.url().startsWith("data:")) {
      seen.requests.push(request.url());
    }
  });
  await page.goto(url);
}

const commands = {
  open,
  evaluate: ({ script }) => page.evaluate(script),
  press: async ({ selector, key, times }) => {
    for (let count = 0; count < times; count++) {
      await page.press(selector, key);
    }
  },
  type: async ({ selector, text }) => {
    await page.click(selector);
    await page.keyboard.type(text);
  },
  click: ({ selector }) => page.click(selector),
  move: ({ x, y }) => page.mouse.move(x, y),
  screenshot: async ({ path }) => void (await page.screenshot({ path, fullPage: true })),
  print: () => page.emulateMedia({ media: "print" }),
  seen: () => seen,
};

async function main() {
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const command = JSON.parse(line);
    let answer;
    try {
      answer = { ok: true, value: await commands[command.do](command) };
    } catch (error) {
      answer = { ok: false, error: String(error.stack || error) };
    }
    process.stdout.write(JSON.stringify(answer) + "\n");
  }
  await browser?.close();
}

main();
