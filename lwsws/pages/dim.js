// A WebSocket that comes back by itself, and a page that dims while it is away.
//
// Knows nothing of the demo: copy this file, and write
//
//     import { Link, dim } from "./dim.js";
//
//     const link = new Link("/news", { protocol: "news" });
//     link.addEventListener("message", ({ data }) => show(data));
//     dim([link], { notice: document.querySelector("#notice") });
//
// with `<p id="notice" role="status"></p>` in the page and, in its style sheet, how lost looks:
//
//     html.disconnected main { opacity: 0.4; pointer-events: none; }

/** The longest wait before the first attempt to come back, in milliseconds. */
const DELAY_FIRST = 250;
/** The longest wait before any attempt, in milliseconds. */
const DELAY_MAX = 5000;
/** How long an attempt may take before the next one, in milliseconds: a lost SYN is not an answer. */
const OPEN_WITHIN = 10_000;
/** A connection that lived this long, in milliseconds, was a success: the next wait is short again. */
const SETTLED_AFTER = 1000;

/**
 * The wait before the next attempt, in milliseconds: doubling, capped, and random in its upper half,
 * so that a thousand pages do not come back to a restarted server in the same instant.
 */
export function backoff(failures, random = Math.random()) {
  const ceiling = Math.min(DELAY_MAX, DELAY_FIRST * 2 ** failures);
  return ceiling * (0.5 + random / 2);
}

/**
 * A WebSocket to this page's own server that reconnects until `close()` is called.
 *
 * Events: `open`; `message` with `data`; `close`, after each loss and each failed attempt.
 */
export class Link extends EventTarget {
  #url;
  #protocols;
  #silence;
  /** The socket that is opening or open; `null` while waiting for the next attempt. */
  #socket = null;
  /** When the connection opened; `null` until it has. */
  #openedAt = null;
  #heardAt = 0;
  #failures = 0;
  /** One timer. It ends an attempt while opening, a silence while open, and a wait in between. */
  #timer;
  #ended = new AbortController();

  /**
   * `path` is relative to the page. `protocol` is the subprotocol to ask for. `silence` is how long, in
   * milliseconds, an open connection may say nothing before it counts as lost: for servers that
   * speak regularly, since a browser does not notice a peer that merely vanished.
   */
  constructor(path, { protocol, silence = Infinity } = {}) {
    super();
    const url = new URL(path, location.href);
    url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
    this.#url = url.href;
    this.#protocols = protocol === undefined ? [] : [protocol];
    this.#silence = silence;

    const { signal } = this.#ended;
    const hurry = () => this.#hurry();
    addEventListener("online", hurry, { signal });
    document.addEventListener("visibilitychange", hurry, { signal });
    this.#connect();
  }

  get isOpen() {
    return this.#socket?.readyState === WebSocket.OPEN;
  }

  /** Bytes handed to `send` that have not left yet. */
  get bufferedAmount() {
    return this.#socket?.bufferedAmount ?? 0;
  }

  /** Sends `message`, or returns `false` when there is no connection to send it on. */
  send(message) {
    if (!this.isOpen) return false;
    this.#socket.send(message);
    return true;
  }

  /** Ends the connection for good. */
  close() {
    this.#ended.abort();
    clearTimeout(this.#timer);
    this.#release()?.close();
  }

  #connect() {
    this.#openedAt = null;
    const socket = new WebSocket(this.#url, this.#protocols);
    this.#socket = socket;
    this.#wait(OPEN_WITHIN, () => this.#lost());
    socket.onclose = () => this.#lost();
    socket.onmessage = ({ data }) => {
      this.#heardAt = performance.now();
      this.dispatchEvent(new MessageEvent("message", { data }));
    };
    socket.onopen = () => {
      this.#openedAt = this.#heardAt = performance.now();
      this.#listen();
      this.dispatchEvent(new Event("open"));
    };
  }

  /** Looks at the silence when it could first be too long, instead of moving a timer at each message. */
  #listen() {
    clearTimeout(this.#timer);
    if (this.#silence === Infinity) return;
    const left = this.#heardAt + this.#silence - performance.now();
    if (left <= 0) this.#lost();
    else this.#wait(left, () => this.#listen());
  }

  #lost() {
    const lived = this.#openedAt === null ? 0 : performance.now() - this.#openedAt;
    // A socket whose peer is gone takes minutes to report its close: do not wait for that.
    this.#release()?.close();
    this.#failures = lived >= SETTLED_AFTER ? 0 : this.#failures + 1;
    this.#wait(backoff(this.#failures), () => this.#connect());
    this.dispatchEvent(new Event("close"));
  }

  /** The network is back, or somebody is looking: try now rather than when the wait is over. */
  #hurry() {
    if (this.#socket !== null || document.hidden) return;
    this.#failures = 0;
    clearTimeout(this.#timer);
    this.#connect();
  }

  /** Lets go of the socket, so that nothing it still reports is heard. */
  #release() {
    const socket = this.#socket;
    if (socket !== null) socket.onopen = socket.onmessage = socket.onclose = null;
    this.#socket = null;
    return socket;
  }

  #wait(delay, then) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(then, delay);
  }
}

/**
 * Marks `root` with the class `connected` while every link is open, and with `disconnected` from the first
 * loss until all are back; tells `notice`, a live region, so that it is heard as well as seen.
 */
export function dim(
  links,
  {
    root = document.documentElement,
    notice,
    lost = "Connection lost. Reconnecting\u2026",
    back = "Connected again.",
  } = {},
) {
  const say = (text) => {
    if (notice && notice.textContent !== text) notice.textContent = text;
  };
  const onClose = () => {
    root.classList.remove("connected");
    root.classList.add("disconnected");
    say(lost);
  };
  const onOpen = () => {
    if (!links.every((link) => link.isOpen)) return;
    if (root.classList.contains("disconnected")) say(back);
    root.classList.remove("disconnected");
    root.classList.add("connected");
  };
  for (const link of links) {
    link.addEventListener("close", onClose);
    link.addEventListener("open", onOpen);
  }
}
