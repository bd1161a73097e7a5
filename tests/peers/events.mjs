// An `EventSource` whose streams are cut again and again: headless Chromium, driven by Playwright, behind a proxy that cuts.
//
//   EVENTS=target/debug/examples/events NODE_MODULES=/path/to/node_modules node tests/peers/events.mjs
//
// Optional: CHROMIUM (/usr/bin/chromium). Prints `ok` and `FAIL` lines and the totals; exits with 1 when something failed.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createRequire } from 'node:module';
import net from 'node:net';
import process from 'node:process';

import { checksOf, finish, freePort, inTime, waitForPort } from './checks.mjs';

const check = checksOf('events');
const { chromium } = createRequire(`${process.env.NODE_MODULES}/`)('playwright-core');

/** How often the streams are cut. */
const CUTS = 5;

const [port, front] = [await freePort(), await freePort()];
const server = spawn(process.env.EVENTS, [`127.0.0.1:${port}`], { stdio: ['ignore', 'ignore', 'inherit'] });
// What lies in the proxy when it cuts is lost on the way, as with a network that goes away.
const pairs = new Set();
const proxy = net.createServer((near) => {
  const far = net.connect(port, '127.0.0.1');
  const pair = [near, far];
  pairs.add(pair);
  for (const [one, other] of [pair, [far, near]]) {
    one.on('data', (octets) => other.write(octets));
    one.on('error', () => {});
    one.on('close', () => { other.destroy(); pairs.delete(pair); });
  }
}).listen(front, '127.0.0.1');
await once(proxy, 'listening');

let browser;
await inTime(check, 'the run came to its end', async () => {
  await waitForPort(port);
  browser = await chromium.launch({
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    headless: true,
    args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update'],
  });
  const page = await browser.newPage();
  await page.goto(`http://127.0.0.1:${front}/`);
  for (let cut = 0; cut < CUTS; cut += 1) {
    await page.waitForFunction((opened_before) => opened.length > opened_before && seen.length > opened.at(-1) + 20, cut, { timeout: 20_000 });
    for (const pair of pairs) pair.forEach((socket) => socket.destroy());
  }
  await page.waitForFunction((opened_before) => opened.length > opened_before && seen.length > opened.at(-1) + 20, CUTS, { timeout: 20_000 });
  const { events, times, lost } = await page.evaluate(() => ({ events: seen, times: opened.length, lost: resynced.length }));
  check(`the page came back after each of ${CUTS} cuts`, times === CUTS + 1, times);
  const gaps = events.filter((count, at) => at > 0 && count !== events[at - 1] + 1);
  check('it has missed nothing, and got nothing twice', gaps.length === 0 && events.length > 20 * CUTS, `${gaps} in ${events.length}`);
  check('and was never out of step', lost === 0, lost);
});
await browser?.close();
proxy.close();
server.kill('SIGKILL');
finish();
