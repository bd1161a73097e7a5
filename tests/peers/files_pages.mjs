// The pages that our server makes of files, in headless Chromium: listings and errors by the rules for accessibility (axe-core), on a phone,
// by keyboard; and a documentation site that is served from inside a zip archive.
//
//   LWSWS=target/release/lwsws NODE_MODULES=/path/to/node_modules node tests/peers/files_pages.mjs
//
// Optional: CHROMIUM (/usr/bin/chromium), DOCUMENTATION (a folder of HTML files; that of Debian's valgrind), LOGS (target/test-logs, for
// screenshots). Prints `ok` and `FAIL` lines and the totals; exits with 1 when something failed.

import { execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import process from 'node:process';

import { checksOf, finish, freePort, inTime, waitForPort } from './checks.mjs';

const check = checksOf('pages of files');
const modules = createRequire(`${process.env.NODE_MODULES}/`);
const { chromium } = modules('playwright-core');
const AXE = readFileSync(modules.resolve('axe-core/axe.min.js'), 'utf8');
const LOGS = resolve(process.env.LOGS ?? 'target/test-logs');
const DOCUMENTATION = process.env.DOCUMENTATION ?? '/usr/share/doc/valgrind/html';

/** Pages of the documentation that are visited, link by link. */
const VISITED = 20;

const folder = mkdtempSync(join(tmpdir(), 'lws-pages-'));
const servers = [];
let browser;

await inTime(check, 'the run came to its end', async () => {
  mkdirSync(LOGS, { recursive: true });
  const root = join(folder, 'served');
  fill(root);
  const archive = join(folder, 'documentation.zip');
  // Python is there for the other peers, and a zip program may not be.
  execFileSync('python3', ['-m', 'zipfile', '-c', archive, '.'], { cwd: DOCUMENTATION });
  const files = await serve(root, '--listing');
  const documentation = await serve('--zip', archive);
  browser = await chromium.launch({
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    headless: true,
    args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update'],
  });
  await accessible(files);
  await onPhone(files);
  await byKeyboard(files);
  await documented(documentation);
});
await browser?.close();
servers.forEach((server) => server.kill('SIGKILL'));
rmSync(folder, { recursive: true });
finish();

/** Names that are long, strange, in other scripts, and many. */
function fill(root) {
  mkdirSync(join(root, 'many'), { recursive: true });
  mkdirSync(join(root, 'empty'));
  for (const name of ['a.txt', '<b>&"\'.txt', 'javascript:alert(1)', 'a name with spaces', 'größe-名前-שם', `${'long'.repeat(50)}.bin`]) {
    writeFileSync(join(root, 'many', name), name);
  }
  for (let number = 0; number < 300; number += 1) writeFileSync(join(root, 'many', `file-${number}`), 'x');
  mkdirSync(join(root, 'many', 'below'));
}

async function serve(...args) {
  const port = await freePort();
  servers.push(spawn(process.env.LWSWS, [...args, '--port', String(port), '--quiet'], { stdio: ['ignore', 'ignore', 'inherit'] }));
  await waitForPort(port);
  return `http://127.0.0.1:${port}`;
}

/** No page has anything that axe complains about, in either colour scheme, wide or narrow. */
async function accessible(base) {
  const pages = { 'a listing': '/many/', 'an empty listing': '/empty/', 'the root': '/', 'not found': '/nothing', 'a bad path': '/%00' };
  for (const colorScheme of ['light', 'dark']) {
    const context = await browser.newContext({ colorScheme, viewport: { width: 900, height: 700 } });
    for (const [name, path] of Object.entries(pages)) {
      const page = await context.newPage();
      await page.goto(`${base}${path}`);
      await page.evaluate(AXE);
      // eslint-disable-next-line no-undef
      const { violations, passes } = await page.evaluate(() => axe.run());
      const said = violations.map(({ id, nodes }) => `${id}: ${nodes.slice(0, 3).map(({ html }) => html).join(' ')}`);
      check(`axe finds nothing in ${name}, ${colorScheme} (${passes.length} rules passed)`, violations.length === 0 && passes.length > 5, said.join('; '));
      await page.close();
    }
    await context.close();
  }
}

/** A phone shows everything without scrolling sideways, and what is to be touched is large enough. */
async function onPhone(base) {
  const context = await browser.newContext({ viewport: { width: 360, height: 740 }, deviceScaleFactor: 2, isMobile: true, hasTouch: true });
  for (const [name, path] of [['listing', '/many/'], ['error', '/nothing']]) {
    const page = await context.newPage();
    await page.goto(`${base}${path}`);
    const { wide, room, small } = await page.evaluate(() => ({
      wide: document.documentElement.scrollWidth,
      room: window.innerWidth,
      // WCAG 2.2, 2.5.8: 24 by 24, where a finger has to meet one of several.
      small: [...document.querySelectorAll('a')].filter((link) => link.offsetParent && link.getBoundingClientRect().height < 24).map((link) => link.outerHTML).slice(0, 3),
    }));
    check(`phone: the ${name} is no wider than the screen`, wide <= room, `${wide} of ${room}`);
    check(`phone: the ${name}'s links can be touched`, small.length === 0, small.join(' '));
    await page.screenshot({ path: join(LOGS, `files-phone-${name}.png`) });
    await page.close();
  }
  await context.close();
}

/** Keys alone lead to a file, and what has the focus is seen. */
async function byKeyboard(base) {
  const page = await browser.newPage();
  await page.goto(`${base}/many/`);
  for (let press = 0; press < 30; press += 1) {
    await page.keyboard.press('Tab');
    const { href, outline } = await page.evaluate(() => ({
      href: document.activeElement.getAttribute('href') ?? '',
      outline: getComputedStyle(document.activeElement).outlineStyle,
    }));
    if (href.endsWith('below/')) {
      check('keyboard: the focus is seen', outline !== 'none', outline);
      await Promise.all([page.waitForURL('**/many/below/'), page.keyboard.press('Enter')]);
      break;
    }
  }
  check('keyboard: a directory is reached', page.url().endsWith('/many/below/'), page.url());
  await page.close();
}

/** A whole site out of an archive: every page that is linked and what it consists of comes, with its type. */
async function documented(base) {
  const context = await browser.newContext();
  const page = await context.newPage();
  const wrong = [];
  let seen = 0;
  let compressed = 0;
  page.on('response', (response) => {
    seen += 1;
    if (response.headers()['content-encoding'] === 'gzip') compressed += 1;
    const { origin, pathname } = new URL(response.url());
    // What the documentation itself does not have is no fault of ours.
    const there = existsSync(join(DOCUMENTATION, decodeURIComponent(pathname)));
    if (origin !== base || (response.status() >= 400 && there)) wrong.push(`${response.status()} ${response.url()}`);
  });
  page.on('pageerror', (error) => wrong.push(error.message));
  const waiting = [`${base}/`];
  const visited = new Set();
  while (waiting.length > 0 && visited.size < VISITED) {
    const url = waiting.shift();
    if (visited.has(url)) continue;
    visited.add(url);
    await page.goto(url);
    const links = await page.evaluate(() => [...document.querySelectorAll('a[href]')].map((link) => link.href.split('#')[0]));
    waiting.push(...links.filter((link) => link.startsWith(base) && link.endsWith('.html') && !visited.has(link)));
  }
  check(`archive: ${visited.size} pages of a documentation, ${seen} responses`, visited.size >= 10 && wrong.length === 0, wrong.slice(0, 5).join('; '));
  check('archive: members go out as they are compressed there', compressed > visited.size / 2, `${compressed} of ${seen}`);
  const styled = await page.evaluate(() => document.styleSheets.length > 0 || document.images.length > 0);
  check('archive: styles or images are there', styled);
  await context.close();
}
