// Fetches that a page does not read, and small ones beside them, over one HTTP/2 connection: headless Chromium, driven by Playwright.
//
//   LWSWS=target/release/lwsws NODE_MODULES=/path/to/node_modules node tests/peers/browser_unread.mjs
//
// Optional: CHROMIUM (/usr/bin/chromium). Prints `ok` and `FAIL` lines and the totals; exits with 1 when something failed.

import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';

import { checksOf, finish, freePort, inTime, waitForPort } from './checks.mjs';

const check = checksOf('unread fetches');
const { chromium } = createRequire(`${process.env.NODE_MODULES}/`)('playwright-core');

/** Octets of a file: three of them are more than the window of Chromium's connection. */
const LARGE = 24 << 20;
/** What the small ones hold. */
const SMALL = 'Hello, world!,a small file';
/** How long the small ones may take, in milliseconds, on a machine that is busy. */
const AT_ONCE = 3_000;

const folder = mkdtempSync(join(tmpdir(), 'unread-'));
writeFileSync(join(folder, 'index.html'), '<!doctype html><title>unread</title>');
writeFileSync(join(folder, 'large.bin'), '');
truncateSync(join(folder, 'large.bin'), LARGE);
writeFileSync(join(folder, 'hello'), 'Hello, world!');
writeFileSync(join(folder, 'small.txt'), 'a small file');

const port = await freePort();
const server = spawn(process.env.LWSWS, [folder, '--port', String(port), '--quiet', '--tls-self-signed'], { stdio: ['ignore', 'ignore', 'inherit'] });
let browser;
await inTime(check, 'the run came to its end', async () => {
  await waitForPort(port);
  browser = await chromium.launch({
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    headless: true,
    args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update'],
  });
  const page = await (await browser.newContext({ ignoreHTTPSErrors: true })).newPage();
  await page.goto(`https://127.0.0.1:${port}/`);
  const protocol = await page.evaluate(() => performance.getEntriesByType('navigation')[0].nextHopProtocol);
  check('the page came over HTTP/2', protocol === 'h2', protocol);

  /** In the page: `unread` fetches whose content waits, small ones beside them, and then all content. */
  const ask = (unread) =>
    page.evaluate(async (unread) => {
      const said = (error) => `${error}`;
      const waiting = await Promise.all(Array.from({ length: unread }, (_, at) => fetch(`/large.bin?${unread}-${at}`, { cache: 'no-store' }))).catch(said);
      if (typeof waiting === 'string') return { waiting };
      // Until the streams have taken what their windows hold.
      await new Promise((resolve) => setTimeout(resolve, 1_000));
      const begin = performance.now();
      const text = (path) => fetch(path, { cache: 'no-store' }).then((answer) => answer.text()).catch(said);
      const small = Promise.all([text('/hello'), text('/small.txt')]).then((both) => both.join());
      const beside = await Promise.race([small, new Promise((resolve) => setTimeout(resolve, 5_000, 'late'))]);
      const took = performance.now() - begin;
      const lengths = await Promise.all(waiting.map(async (answer) => (await answer.arrayBuffer()).byteLength)).catch(said);
      return { beside, took, lengths, small: await small };
    }, unread);

  const one = await ask(1);
  check('beside one unread fetch small ones are answered at once', one.beside === SMALL && one.took < AT_ONCE, JSON.stringify(one));
  check('one unread fetch comes whole in the end', `${one.lengths}` === `${LARGE}`, JSON.stringify(one));
  const four = await ask(4);
  check('four unread fetches, past the window of the connection, come whole in the end', `${four.lengths}` === `${[LARGE, LARGE, LARGE, LARGE]}`, JSON.stringify(four));
  check('and the small ones with them', four.small === SMALL, JSON.stringify(four));
});
await browser?.close();
server.kill('SIGTERM');
rmSync(folder, { recursive: true });
finish();
