// The drawing board: what everybody drew on one canvas, and on a second one above it the strokes of
// this page that the server has not relayed yet. The server's order is everybody's order, so all boards
// look the same, and one's own pen still follows the hand without a round trip.
//
// Knows the commands of `lws-mirror` (README.md) and a link that carries them. Knows no other part of the page.

/** Coordinates run from 0 to this on both axes, whatever the size of the board. */
const EXTENT = 9999;
/** Commands in one message: about 2 KiB, far below any limit on message size. */
const BATCH_MAX = 64;
/** Segments kept for drawing again after a resize. Beyond it the oldest tenth is forgotten. */
const DRY_MAX = 20_000;
/** Segments drawn here and not relayed yet. Beyond it the pen is dry until the server has caught up. */
const WET_MAX = 2000;
/** Bytes that may wait in the browser before drawings are held back. */
const BUFFERED_MAX = 64 * 1024;
/** A move shorter than this is joined with the next. */
const STEP_MIN = 20;
/** How far one press of an arrow key moves the pen. */
const KEY_STEP = 200;
/** Width of the pen as a share of the width of the board. */
const PEN = 0.0075;

const SEGMENT = /^d (#[0-9a-f]{6}) (\d{1,4}) (\d{1,4}) (\d{1,4}) (\d{1,4})$/i;
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

/** One canvas that fills its box at the resolution of the screen. */
class Layer {
  #canvas;
  #context;

  constructor(canvas) {
    this.#canvas = canvas;
    this.#context = canvas.getContext("2d");
  }

  /** Takes the size of the box; this also wipes the layer. */
  fit() {
    const scale = devicePixelRatio;
    this.#canvas.width = Math.max(1, Math.round(this.#canvas.clientWidth * scale));
    this.#canvas.height = Math.max(1, Math.round(this.#canvas.clientHeight * scale));
  }

  wipe() {
    this.#context.clearRect(0, 0, this.#canvas.width, this.#canvas.height);
  }

  segment({ colour, from, to }) {
    const context = this.#context;
    const [x, y] = this.#place(from);
    context.beginPath();
    if (from[0] === to[0] && from[1] === to[1]) {
      // A line without length draws nothing in some browsers, round caps or not.
      context.arc(x, y, this.#pen / 2, 0, 2 * Math.PI);
      context.fillStyle = colour;
      context.fill();
    } else {
      context.moveTo(x, y);
      context.lineTo(...this.#place(to));
      context.lineWidth = this.#pen;
      context.lineCap = "round";
      context.strokeStyle = colour;
      context.stroke();
    }
  }

  /** Where the pen stands when it is moved by keys: full when it touches the paper. */
  cursor(at, colour, touching) {
    const context = this.#context;
    context.beginPath();
    context.arc(...this.#place(at), this.#pen * 1.5, 0, 2 * Math.PI);
    context.lineWidth = this.#pen / 2;
    context.strokeStyle = context.fillStyle = colour;
    context.stroke();
    if (touching) context.fill();
  }

  get #pen() {
    return Math.max(2.5 * devicePixelRatio, this.#canvas.width * PEN);
  }

  #place([x, y]) {
    return [(x / EXTENT) * this.#canvas.width, (y / EXTENT) * this.#canvas.height];
  }
}

export class Board {
  #link;
  #paper;
  #dryLayer;
  #wetLayer;
  /** What the server has relayed, oldest first. */
  #dry = [];
  /** What was drawn here and has not come back yet, as commands, oldest first. */
  #wet = [];
  /** How many of the last entries of `#wet` have not been sent. */
  #unsent = 0;
  /** The last point of each pointer that is down. */
  #pens = new Map();
  /** The pen that arrow keys move, while the board has the keyboard. */
  #keys = null;
  #colour;
  #frame = 0;

  /** `paper` is the element that is drawn on; it holds two canvases, `dry` and `wet`. */
  constructor(link, { paper, dry, wet, colour }) {
    this.#link = link;
    this.#paper = paper;
    this.#dryLayer = new Layer(dry);
    this.#wetLayer = new Layer(wet);
    this.#colour = colour;

    link.addEventListener("open", () => this.#wipe());
    link.addEventListener("close", () => this.#forgetUnconfirmed());
    link.addEventListener("message", ({ data }) => this.#receive(data));

    paper.addEventListener("pointerdown", (event) => this.#down(event));
    paper.addEventListener("pointermove", (event) => this.#move(event));
    for (const end of ["pointerup", "pointercancel", "lostpointercapture"]) {
      paper.addEventListener(end, ({ pointerId }) => this.#pens.delete(pointerId));
    }
    paper.addEventListener("keydown", (event) => this.#key(event));
    paper.addEventListener("blur", () => this.#leaveKeys());
    new ResizeObserver(() => this.#redraw()).observe(paper);
    this.#redraw();
  }

  set colour(colour) {
    this.#colour = colour;
    this.#schedule();
  }

  /** Clears everybody's board. */
  clear() {
    this.#flush();
    this.#link.send("c");
  }

  // From the server

  #receive(text) {
    for (const command of text.split("\n")) {
      if (command === "c") {
        this.#wipe();
        continue;
      }
      const segment = parse(command);
      if (segment === null) continue;
      this.#dryLayer.segment(segment);
      this.#dry.push(segment);
      // Ours come back in the order in which they left; whatever was skipped will not come any more.
      const own = this.#wet.indexOf(command);
      if (own >= 0) {
        this.#wet.splice(0, own + 1);
        this.#unsent = Math.min(this.#unsent, this.#wet.length);
        this.#schedule();
      }
    }
    if (this.#dry.length > DRY_MAX) this.#dry.splice(0, DRY_MAX / 10);
  }

  #wipe() {
    this.#dry = [];
    this.#dryLayer.wipe();
  }

  #forgetUnconfirmed() {
    this.#wet = [];
    this.#unsent = 0;
    this.#pens.clear();
    this.#schedule();
  }

  // From the hand

  #down(event) {
    if (event.button !== 0 || !this.#link.isOpen) return;
    this.#paper.setPointerCapture(event.pointerId);
    const at = this.#locate(event);
    this.#pens.set(event.pointerId, at);
    this.#draw(at, at);
  }

  #move(event) {
    if (!this.#pens.has(event.pointerId)) return;
    // What the pointer did since the last frame; empty where the browser keeps no record.
    const steps = event.getCoalescedEvents?.() ?? [];
    for (const step of steps.length > 0 ? steps : [event]) {
      const from = this.#pens.get(event.pointerId);
      const to = this.#locate(step);
      if (Math.hypot(to[0] - from[0], to[1] - from[1]) < STEP_MIN) continue;
      this.#pens.set(event.pointerId, to);
      this.#draw(from, to);
    }
  }

  /** Arrow keys move the pen, the space bar sets it down or lifts it. */
  #key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const arrow = ARROWS[event.key];
    if (arrow === undefined && event.key !== " ") return;
    event.preventDefault();
    this.#keys ??= { at: [EXTENT >> 1, EXTENT >> 1], touching: false };
    const { at } = this.#keys;
    if (arrow === undefined) {
      this.#keys.touching = !this.#keys.touching;
    } else {
      this.#keys.at = at.map((value, axis) => clamp(value + arrow[axis] * KEY_STEP));
    }
    if (this.#keys.touching) this.#draw(at, this.#keys.at);
    this.#schedule();
  }

  #leaveKeys() {
    this.#keys = null;
    this.#schedule();
  }

  #draw(from, to) {
    if (!this.#link.isOpen || this.#wet.length >= WET_MAX) return;
    this.#wet.push(["d", this.#colour, ...from, ...to].join(" "));
    this.#unsent += 1;
    this.#schedule();
  }

  #locate({ clientX, clientY }) {
    const box = this.#paper.getBoundingClientRect();
    return [
      clamp(((clientX - box.left - this.#paper.clientLeft) / this.#paper.clientWidth) * EXTENT),
      clamp(((clientY - box.top - this.#paper.clientTop) / this.#paper.clientHeight) * EXTENT),
    ];
  }

  // Once a frame

  #schedule() {
    if (this.#frame !== 0) return;
    this.#frame = requestAnimationFrame(() => {
      this.#frame = 0;
      this.#flush();
      this.#wetLayer.wipe();
      for (const command of this.#wet) this.#wetLayer.segment(parse(command));
      if (this.#keys) this.#wetLayer.cursor(this.#keys.at, this.#colour, this.#keys.touching);
      if (this.#unsent > 0) this.#schedule();
    });
  }

  #flush() {
    while (this.#unsent > 0 && this.#link.bufferedAmount < BUFFERED_MAX) {
      const first = this.#wet.length - this.#unsent;
      const batch = this.#wet.slice(first, first + BATCH_MAX);
      if (!this.#link.send(batch.join("\n"))) return;
      this.#unsent -= batch.length;
    }
  }

  #redraw() {
    this.#dryLayer.fit();
    this.#wetLayer.fit();
    for (const segment of this.#dry) this.#dryLayer.segment(segment);
    this.#schedule();
  }
}

/** The segment that a command draws, or `null` for anything else. */
function parse(command) {
  const match = SEGMENT.exec(command);
  if (match === null) return null;
  const [x1, y1, x2, y2] = match.slice(2).map(Number);
  return { colour: match[1], from: [x1, y1], to: [x2, y2] };
}

function clamp(value) {
  return Math.max(0, Math.min(EXTENT, Math.round(value)));
}
