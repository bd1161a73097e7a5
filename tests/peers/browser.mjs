// The demo page in a real browser: headless Chromium, driven by Playwright.
//
//   LWSWS=target/release/lwsws NODE_MODULES=/path/to/node_modules node tests/peers/browser.mjs [--tls]
//
// Optional: PORT (9301), CHROMIUM (/usr/bin/chromium), LOGS (target/test-logs; screenshots and the server's
// output). Prints `ok` and `FAIL` lines and the totals; exits with 1 when something failed.
//
// Waits for conditions, never for time.

import { execFileSync, spawn } from "node:child_process";
import { createHash, X509Certificate } from "node:crypto";
import { createWriteStream, mkdirSync, mkdtempSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import process from "node:process";
import { setTimeout as pause } from "node:timers/promises";
import { fileURLToPath } from "node:url";

const ROOT = resolve(dirname(fileURLToPath(import.meta.url)), "../..");
const SERVER = resolve(required("LWSWS"));
const NODE_MODULES = resolve(required("NODE_MODULES"));
const PORT = Number(process.env.PORT ?? 9301);
const CHROMIUM = process.env.CHROMIUM ?? "/usr/bin/chromium";
const LOGS = resolve(process.env.LOGS ?? join(ROOT, "target/test-logs"));
/** Over TLS, with a certificate that is not trusted and that the browser is made to accept. */
const SECURE = process.argv.includes("--tls");
const ORIGIN = `${SECURE ? "https" : "http"}://127.0.0.1:${PORT}`;
const SOCKETS = ORIGIN.replace("http", "ws");

/** Everything is compressed, so that the page and the browser's own compressor are tested with it. */
const DEFLATE = "--deflate=server_no_context_takeover=0,client_no_context_takeover=0,threshold=0";

/** How long any condition may take to come true, in milliseconds. */
const DEADLINE = 15_000;
/** Coming back may also wait for the page's back-off (5 s) and Chromium's own (5 s). */
const RECOVERY_DEADLINE = 30_000;

/** Without these Chromium calls home at every start. */
const QUIET = [
  "--headless",
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

/** The colours that the tests draw with, as the page offers them. */
const BLUE = "#3b7ddd";
const RED = "#e0525c";
const GREEN = "#2a9d7c";

const identity = SECURE ? selfSigned() : null;

const { chromium } = createRequire(join(NODE_MODULES, "browser.mjs"))("playwright-core");

let passed = 0;
let failed = 0;
/** What the console said, and every request to another host; must stay empty. */
const complaints = [];
/** While the server is down on purpose, the browser's own complaints about that are expected. */
let outage = false;

mkdirSync(LOGS, { recursive: true });
const log = createWriteStream(join(LOGS, "demo-server.log"));
/** What the server has logged. */
let said = "";
let server = null;
let browser = null;
try {
  server = await start();
  // Playwright gives each launch a new, empty user data directory, and removes it.
  browser = await chromium.launch({ executablePath: CHROMIUM, headless: true, args: [...QUIET, ...(identity?.accept ?? [])] });
  await run();
} catch (error) {
  report(false, "the run came to its end", error);
} finally {
  await browser?.close();
  if (server?.exitCode === null && server.signalCode === null) server.kill("SIGKILL");
}
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed === 0 ? 0 : 1;

async function run() {
  const desktop = { viewport: { width: 1200, height: 900 } };
  const one = await open(await browser.newContext({ ...desktop, colorScheme: "light" }));
  const two = await open(await browser.newContext({ ...desktop, colorScheme: "dark" }));
  let three;

  await test("the page connects and is not dimmed", async () => {
    await until("connected", () => hasClass(one, "connected"));
    expect(!(await hasClass(one, "disconnected")), "dimmed");
  });

  if (SECURE) {
    await test("the page comes over HTTP/2, and its WebSocket shares the connection", async () => {
      const protocol = await one.evaluate(() => performance.getEntriesByType("navigation")[0].nextHopProtocol);
      expect(protocol === "h2", `the page came over ${protocol}`);
      // RFC 8441: an extended CONNECT, which the access log tells with its version.
      await until("a WebSocket over HTTP/2", () => /"CONNECT \/\S* HTTP\/2" 200 /.test(said));
    });
  }

  await test("messages are compressed both ways, and come back as they were", async () => {
    const { extensions, wrong } = await one.evaluate(async (origin) => {
      const socket = new WebSocket(`${origin.replace("http", "ws")}/echo`);
      socket.binaryType = "arraybuffer";
      const next = (name) => new Promise((resolve, reject) => {
        socket.addEventListener(name, resolve, { once: true });
        socket.addEventListener("close", (event) => reject(new Error(`closed with ${event.code}`)), { once: true });
      });
      await next("open");
      const wrong = [];
      for (const size of [0, 1, 100, 5_000, 16_384, 200_000, 1_000_000]) {
        const text = `{"size":${size}},`.repeat(size).slice(0, size);
        const octets = new Uint8Array(size).map((_, at) => (at * at) >> 3);
        for (const message of [text, octets, text]) {
          const answer = next("message");
          socket.send(message);
          const { data } = await answer;
          const back = typeof data === "string" ? data : String(new Uint8Array(data));
          if (back !== String(message)) wrong.push(size);
        }
      }
      socket.close();
      return { extensions: socket.extensions, wrong };
    }, ORIGIN);
    expect(extensions.startsWith("permessage-deflate"), `agreed on: ${extensions}`);
    expect(wrong.length === 0, `sizes that came back changed: ${wrong}`);
  });

  await test("the counter moves by itself", async () => {
    const before = await until("a number", () => counter(one));
    await until("a larger number", async () => (await counter(one)) > before);
  });

  await test("reset sets this page's counter back, and no other's", async () => {
    await until("both count past 30", async () => (await counter(one)) > 30 && (await counter(two)) > 30);
    await one.click("#reset");
    await until("a number under 15", async () => (await counter(one)) < 15);
    expect((await counter(two)) > 30, "the other page was reset too");
  });

  await test("what is drawn in one tab appears in it and in the other", async () => {
    await stroke(one, BLUE, [0.1, 0.2], [0.9, 0.2]);
    await until("blue in the first tab", () => inked(one, BLUE, 0.5, 0.2));
    await until("blue in the second tab", () => inked(two, BLUE, 0.5, 0.2));
    expect(!(await inked(two, BLUE, 0.5, 0.8)), "ink where nothing was drawn");
  });

  await test("and the other way round, in another colour", async () => {
    await stroke(two, RED, [0.1, 0.5], [0.9, 0.5]);
    await until("red in the first tab", () => inked(one, RED, 0.5, 0.5));
  });

  await test("the board can be drawn on with the keyboard", async () => {
    await one.focus("#paper");
    for (const key of ["ArrowDown", "ArrowDown", "ArrowDown", "ArrowDown", "Space", "ArrowRight", "ArrowRight"]) {
      await one.keyboard.press(key);
    }
    await until("blue below the middle", () => inked(two, BLUE, 0.51, 0.58));
  });

  await test("a tab opened later, on a phone, sees the drawing", async () => {
    const phone = { viewport: { width: 390, height: 844 }, deviceScaleFactor: 2, hasTouch: true, isMobile: true };
    three = await open(await browser.newContext(phone));
    await until("both strokes", async () => (await inked(three, BLUE, 0.5, 0.2)) && (await inked(three, RED, 0.5, 0.5)));
  });

  await test("the page is no wider than the phone", async () => {
    const [content, screen] = await three.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
    expect(content <= screen, `${content} px on ${screen}`);
  });

  await test("a tap with a finger draws a dot", async () => {
    const box = await three.locator("#paper").boundingBox();
    await three.touchscreen.tap(box.x + 0.75 * box.width, box.y + 0.75 * box.height);
    await until("a dot in the first tab", () => inked(one, BLUE, 0.75, 0.75));
  });

  await test("the drawing survives a change of the board's size", async () => {
    await two.setViewportSize({ width: 700, height: 900 });
    await until("the smaller board", () => two.evaluate(() => document.getElementById("board").width < 650));
    await until("both strokes", async () => (await inked(two, BLUE, 0.5, 0.2)) && (await inked(two, RED, 0.5, 0.5)));
    await two.setViewportSize(desktop.viewport);
  });

  await test("every value of the server's status appears", async () => {
    const names = ["version", "uptime_s", "connections", "websockets", "requests", "messages", "bytes_in", "bytes_out"];
    for (const name of names) {
      await until(name, async () => /\d/.test(await one.textContent(`#status-${name}`)));
    }
    // Three pages with three connections each.
    await until("nine WebSockets", async () => Number(await one.textContent("#status-websockets")) === 9);
  });

  await test("the status moves by itself", async () => {
    const before = await one.textContent("#status-bytes_out");
    await until("more bytes", async () => (await one.textContent("#status-bytes_out")) !== before);
  });

  await test("the echo box answers with the same text and a time", async () => {
    for (const text of ["Hello, world!", "Grüße, 世界 🌍"]) {
      await one.fill("#echo-text", text);
      await one.click("#echo-send");
      await until("the same text", async () => (await one.textContent("#echo-answer")) === text);
      expect(/^back in \d+\.\d ms$/.test(await one.textContent("#echo-time")), "no time");
    }
  });

  await test("the addresses to try are those of this server", async () => {
    expect((await one.textContent("#try-curl")) === `curl ${ORIGIN}/hello`, "curl");
    expect((await one.textContent("#try-ws")) === `${SOCKETS}/echo`, "ws");
    const hello = await one.evaluate(async () => (await fetch("/hello")).text());
    expect(hello === "Hello, world!", `hello says ${hello}`);
  });

  await shoot({ one, two, three }, "connected");

  await test("when the server is killed, the pages dim and say so", async () => {
    outage = true;
    await ended(server, "SIGKILL");
    for (const page of [one, two, three]) {
      await until("dimmed", () => hasClass(page, "disconnected"));
      await until("really dim", () => page.evaluate(() => getComputedStyle(document.querySelector("main")).opacity < 0.5));
      expect((await page.textContent("#notice")).includes("Reconnecting"), "no notice");
      expect((await page.getAttribute("#notice", "role")) === "status", "the notice is not a live region");
    }
  });

  await shoot({ one, two, three }, "dimmed");

  await test("when it is back on the same port, they recover by themselves", async () => {
    server = await start();
    for (const page of [one, two, three]) {
      await until("connected", () => hasClass(page, "connected"), RECOVERY_DEADLINE);
      expect(!(await hasClass(page, "disconnected")), "still dimmed");
    }
    outage = false;
  });

  await test("the counter moves again", async () => {
    const before = await counter(one);
    await until("another number", async () => (await counter(one)) !== before);
  });

  await test("the drawing board works again, and shows what the new server knows", async () => {
    await stroke(one, GREEN, [0.2, 0.8], [0.8, 0.8]);
    await until("green in the second tab", () => inked(two, GREEN, 0.5, 0.8));
    expect(!(await inked(two, BLUE, 0.5, 0.2)), "the old drawing is still there");
  });

  await test("clear clears every board", async () => {
    await two.click("#clear");
    for (const page of [one, two, three]) {
      await until("no ink", async () => !(await inked(page, GREEN, 0.5, 0.8)));
    }
  });

  await test("a server that falls silent is a lost one, until it speaks again", async () => {
    server.kill("SIGSTOP");
    await until("dimmed", () => hasClass(one, "disconnected"));
    server.kill("SIGCONT");
    await until("connected", () => hasClass(one, "connected"), RECOVERY_DEADLINE);
  });

  await test("the wait between attempts starts at 250 ms, doubles, ends at 5 s, and is random in its upper half", async () => {
    const waits = await one.evaluate(async () => {
      const { backoff } = await import("/dim.js");
      return [0, 1, 4, 5, 100].map((failures) => [backoff(failures, 0), backoff(failures, 1)]);
    });
    const expected = [[125, 250], [250, 500], [2000, 4000], [2500, 5000], [2500, 5000]];
    expect(JSON.stringify(waits) === JSON.stringify(expected), JSON.stringify(waits));
  });

  await test("SIGTERM ends the server with exit code 0, and the page dims", async () => {
    outage = true;
    const code = await ended(server, "SIGTERM");
    expect(code === 0, `exit code ${code}`);
    await until("dimmed", () => hasClass(one, "disconnected"));
  });

  await test("nothing was reported in the console, and nothing came from another host", () => {
    expect(complaints.length === 0, complaints.join("\n"));
  });
}

async function test(name, body) {
  try {
    await body();
    report(true, name);
  } catch (error) {
    report(false, name, error);
  }
}

function report(ok, name, error) {
  if (ok) passed += 1;
  else failed += 1;
  console.log(ok ? `ok ${name}` : `FAIL ${name}: ${error.message}`);
}

function expect(condition, otherwise) {
  if (!condition) throw new Error(otherwise);
}

/** Asks until the answer is neither false, `null` nor `NaN`, and returns it. */
async function until(what, condition, within = DEADLINE) {
  const end = performance.now() + within;
  for (;;) {
    const answer = await condition();
    if (answer !== false && answer !== null && !Number.isNaN(answer)) return answer;
    if (performance.now() > end) throw new Error(`not within ${within} ms: ${what}`);
    await pause(20);
  }
}

/** A certificate: how the server serves it, and how the browser is told to take it and no other. */
function selfSigned() {
  const folder = mkdtempSync(join(tmpdir(), "lws-browser-"));
  const [certificate, key] = [join(folder, "cert.pem"), join(folder, "key.pem")];
  const openssl = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj /CN=127.0.0.1";
  const names = ["-addext", "subjectAltName=IP:127.0.0.1", "-addext", "basicConstraints=critical,CA:FALSE", "-keyout", key, "-out", certificate];
  execFileSync("openssl", [...openssl.split(" "), ...names], { stdio: "pipe" });
  const spki = new X509Certificate(readFileSync(certificate)).publicKey.export({ type: "spki", format: "der" });
  const fingerprint = createHash("sha256").update(spki).digest("base64");
  return {
    serve: ["--tls-cert", certificate, "--tls-key", key],
    accept: [`--ignore-certificate-errors-spki-list=${fingerprint}`],
  };
}

async function start() {
  expect(!(await listening()), `another process listens on port ${PORT}`);
  const child = spawn(SERVER, ["--port", String(PORT), DEFLATE, ...(identity?.serve ?? [])], { stdio: ["ignore", "pipe", "pipe"] });
  child.stdout.pipe(log, { end: false });
  child.stdout.on("data", (piece) => (said += piece));
  child.stderr.pipe(log, { end: false });
  const failure = new Promise((_, reject) => child.on("error", reject));
  const up = until("the server listens", async () => {
    expect(child.exitCode === null, `the server ended with ${child.exitCode}`);
    return listening();
  });
  await Promise.race([up, failure]);
  return child;
}

function listening() {
  return new Promise((answer) => {
    const socket = connect(PORT, "127.0.0.1");
    socket.on("error", () => answer(false));
    socket.on("connect", () => {
      socket.destroy();
      answer(true);
    });
  });
}

/** Sends `signal` and returns the exit code; `null` when the signal itself ended the server. */
async function ended(child, signal) {
  let end = false;
  child.on("exit", (code) => {
    end = { code };
  });
  child.kill(signal);
  return (await until(`the server ends after ${signal}`, () => end)).code;
}

async function open(context) {
  const page = await context.newPage();
  page.on("console", (message) => {
    const bad = message.type() === "error" || message.type() === "warning";
    const expected = outage && /WebSocket connection to|ERR_CONNECTION/.test(message.text());
    if (bad && !expected) complaints.push(message.text());
  });
  page.on("pageerror", (error) => complaints.push(String(error)));
  page.on("request", (request) => {
    if (!request.url().startsWith(`${ORIGIN}/`)) complaints.push(`request to ${request.url()}`);
  });
  page.on("response", (response) => {
    if (response.status() >= 400) complaints.push(`${response.status()} for ${response.url()}`);
  });
  await page.goto(`${ORIGIN}/`);
  return page;
}

function hasClass(page, name) {
  return page.evaluate((name) => document.documentElement.classList.contains(name), name);
}

async function counter(page) {
  return Number.parseInt(await page.textContent("#counter"), 10);
}

/** Draws one line with the pointer; places are shares of the board. */
async function stroke(page, colour, from, to) {
  await page.check(`#colours input[value="${colour}"]`);
  const box = await page.locator("#paper").boundingBox();
  const place = ([x, y]) => [box.x + x * box.width, box.y + y * box.height];
  await page.mouse.move(...place(from));
  await page.mouse.down();
  await page.mouse.move(...place(to), { steps: 20 });
  await page.mouse.up();
}

/** Whether the server's layer of the board has this colour within two pixels of a place. */
function inked(page, colour, x, y) {
  return page.evaluate(
    ({ colour, x, y }) => {
      const board = document.getElementById("board");
      const wanted = [1, 3, 5].map((at) => Number.parseInt(colour.slice(at, at + 2), 16));
      const [left, top] = [Math.round(x * board.width) - 2, Math.round(y * board.height) - 2];
      // Looked at through a copy: the page's own canvas is not made for reading, and Chromium would say so.
      const copy = new OffscreenCanvas(5, 5).getContext("2d", { willReadFrequently: true });
      copy.drawImage(board, -left, -top);
      const { data } = copy.getImageData(0, 0, 5, 5);
      for (let at = 0; at < data.length; at += 4) {
        const near = wanted.every((value, channel) => Math.abs(data[at + channel] - value) < 12);
        if (near && data[at + 3] > 200) return true;
      }
      return false;
    },
    { colour, x, y },
  );
}

async function shoot({ one, two, three }, state) {
  // Finishes transitions, so that a picture shows a state and not the way to it.
  const picture = (page, name) =>
    page.screenshot({ path: join(LOGS, `demo-${name}-${state}.png`), fullPage: true, animations: "disabled" });
  await picture(one, "light");
  await picture(two, "dark");
  if (three === undefined) return;
  await picture(three, "phone");
  await three.emulateMedia({ colorScheme: "dark" });
  await picture(three, "phone-dark");
  await three.emulateMedia({ colorScheme: "light" });
}

function required(name) {
  const value = process.env[name];
  if (value) return value;
  console.error(`browser.mjs: set ${name} (see the head of this file)`);
  process.exit(2);
}
