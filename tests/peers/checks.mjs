// What the Node scripts share: counting checks, and ports. `checks.py` is the same for Python.

import { once } from 'node:events';
import net from 'node:net';

const START_MS = 15_000;
const SCENARIO_MS = 60_000;

let passed = 0;
let failed = 0;

/** A `check` that prints a line under `title` and counts. */
export function checksOf(title) {
  return function check(name, good, seen = '') {
    if (good) passed += 1;
    else failed += 1;
    console.log(good ? `ok   ${title}: ${name}` : `FAIL ${title}: ${name}: ${String(seen).slice(0, 400)}`);
  };
}

/** Runs a scenario; one that throws or does not end in time is a failed check. */
export async function inTime(check, name, scenario) {
  let timer;
  const tooLong = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not done after ${SCENARIO_MS} ms`)), SCENARIO_MS);
  });
  try {
    await Promise.race([scenario(), tooLong]);
  } catch (error) {
    check(name, false, error.stack);
  } finally {
    clearTimeout(timer);
  }
}

/** Prints the closing line and ends the program: with an error when anything failed, or nothing was checked. */
export function finish() {
  console.log(`${passed} passed, ${failed} failed`);
  process.exit(failed === 0 && passed > 0 ? 0 : 1);
}

/** A port of the loopback address without a listener at this moment. */
export async function freePort() {
  const probe = net.createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const { port } = probe.address();
  probe.close();
  await once(probe, 'close');
  return port;
}

/** Returns once connections to `port` are accepted; throws when time is up. */
export async function waitForPort(port) {
  const giveUp = Date.now() + START_MS;
  for (;;) {
    const probe = net.connect(port, '127.0.0.1');
    const open = await new Promise((resolve) => {
      probe.once('connect', () => resolve(true)).once('error', () => resolve(false));
    });
    probe.destroy();
    if (open) return;
    if (Date.now() > giveUp) throw new Error(`there is no listener on port ${port}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
