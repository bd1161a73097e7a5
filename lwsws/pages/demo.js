// The demo page: a counter, a shared drawing board, the status of the server, and an echo.
//
// What travels on each connection is described in README.md. Coming back after a loss is `dim.js`;
// drawing is `board.js`.

import { Board } from "./board.js";
import { Link, dim } from "./dim.js";

/** The counter speaks 20 times a second and the status once; after this long (ms) they are lost. */
const SILENCE = 5000;
/** How long an answer to an echo may take, in milliseconds. */
const ECHO_WITHIN = 10_000;

const find = (id) => document.getElementById(id);

const counter = new Link("demo/counter", { protocol: "lws-counter", silence: SILENCE });
const mirror = new Link("demo/mirror", { protocol: "lws-mirror" });
const server = new Link("demo/status", { protocol: "lws-status", silence: SILENCE });
dim([counter, mirror, server], { notice: find("notice") });

showCounter();
showBoard();
showStatus();
showAddresses();
showEcho();

function showCounter() {
  const value = find("counter");
  counter.addEventListener("message", ({ data }) => {
    value.textContent = data;
  });
  find("reset").addEventListener("click", () => counter.send("reset"));
}

function showBoard() {
  const colours = find("colours");
  const chosen = () => colours.querySelector("input:checked").value;
  const board = new Board(mirror, {
    paper: find("paper"),
    dry: find("board"),
    wet: find("wet"),
    colour: chosen(),
  });
  colours.addEventListener("change", () => {
    board.colour = chosen();
  });
  find("clear").addEventListener("click", () => board.clear());
}

function showStatus() {
  const write = {
    version: String,
    uptime_s: duration,
    connections: count,
    websockets: count,
    requests: count,
    messages: count,
    bytes_in: bytes,
    bytes_out: bytes,
    lag_ms: atMost,
    turn_ms: atMost,
  };
  server.addEventListener("message", ({ data }) => {
    const status = JSON.parse(data);
    for (const [name, format] of Object.entries(write)) {
      if (name in status) find(`status-${name}`).textContent = format(status[name]);
    }
  });
}

function showAddresses() {
  const base = new URL(".", location.href);
  find("try-curl").textContent = `curl ${base.href}hello`;
  find("try-post").textContent = `curl -d 'any text' ${base.href}echo`;
  find("try-ws").textContent = `${base.href.replace(/^http/, "ws")}echo`;
}

function showEcho() {
  const text = find("echo-text");
  const send = find("echo-send");
  const answer = find("echo-answer");
  const time = find("echo-time");
  find("echo").addEventListener("submit", async (event) => {
    event.preventDefault();
    // Not `disabled`, which would take the keyboard focus away.
    if (send.getAttribute("aria-disabled") === "true") return;
    send.setAttribute("aria-disabled", "true");
    try {
      const result = await echo(text.value);
      answer.textContent = result.answer;
      time.textContent = `back in ${result.ms.toFixed(1)} ms`;
    } catch (error) {
      answer.textContent = error.message;
      time.textContent = "";
    } finally {
      send.removeAttribute("aria-disabled");
    }
  });
}

let echoSocket = null;

/** Sends `text` to `/echo`; resolves to the answer and the round-trip time, without the handshake. */
async function echo(text) {
  if (echoSocket?.readyState !== WebSocket.OPEN) {
    const url = new URL("echo", location.href);
    url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
    echoSocket = new WebSocket(url);
    await next(echoSocket, "open");
  }
  const start = performance.now();
  echoSocket.send(text);
  const { data } = await next(echoSocket, "message");
  return { answer: data, ms: performance.now() - start };
}

/** The next event of this name, unless the socket closes or takes too long. */
function next(socket, name) {
  return new Promise((resolve, reject) => {
    const settled = new AbortController();
    const { signal } = settled;
    const fail = (reason) => {
      settled.abort();
      // An answer that comes after all must not be taken for the answer to a later message.
      socket.close();
      reject(new Error(reason));
    };
    const timer = setTimeout(() => fail("No answer in time."), ECHO_WITHIN);
    signal.addEventListener("abort", () => clearTimeout(timer));
    socket.addEventListener("close", () => fail("The connection was closed."), { signal });
    socket.addEventListener(
      name,
      (event) => {
        settled.abort();
        resolve(event);
      },
      { signal },
    );
  });
}

function count(value) {
  return value.toLocaleString("en");
}

/** A bound in milliseconds; nothing is measured where there is none. */
function atMost(value) {
  return value === null ? "–" : `≤ ${value.toLocaleString("en")} ms`;
}

function bytes(value) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  const power = Math.min(units.length - 1, Math.floor(Math.log2(Math.max(1, value)) / 10));
  const scaled = value / 1024 ** power;
  return `${power === 0 ? scaled : scaled.toFixed(1)} ${units[power]}`;
}

/** The two largest units: `2 d 5 h`, `5 h 12 min`, `12 min 3 s`, `3 s`. */
function duration(seconds) {
  const parts = [
    [Math.floor(seconds / 86_400), "d"],
    [Math.floor(seconds / 3600) % 24, "h"],
    [Math.floor(seconds / 60) % 60, "min"],
    [seconds % 60, "s"],
  ];
  const first = parts.findIndex(([value]) => value > 0);
  const shown = first < 0 ? parts.slice(-1) : parts.slice(first, first + 2);
  return shown.map(([value, unit]) => `${value} ${unit}`).join(" ");
}
