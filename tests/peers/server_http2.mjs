// HTTP/2 of our server, asked by Node's own `http2`: requests, uploads, and WebSockets as RFC 8441 has them.
//
// LWSWS names the server. No package is needed.

import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import http2 from 'node:http2';

import { checksOf, finish, freePort, inTime, waitForPort } from './checks.mjs';

const check = checksOf('node http2');

function connect(port) {
  // Node counts what it has not sent yet, of which there are 10 MB here.
  const session = http2.connect(`http://127.0.0.1:${port}`, { maxSessionMemory: 100 });
  session.setMaxListeners(100);
  return session;
}

/** One exchange, whole: status, fields and content. */
async function ask(session, fields, content) {
  const stream = session.request(fields);
  const answered = once(stream, 'response');
  const parts = [];
  stream.on('data', (part) => parts.push(part));
  stream.end(content);
  const [head] = await answered;
  await once(stream, 'close');
  return { status: head[':status'], head, content: Buffer.concat(parts) };
}

/** A masked frame. RFC 6455 §5.2. */
function frame(opcode, payload, first = 0x80) {
  const mask = randomBytes(4);
  const size = payload.length;
  const head = Buffer.alloc(size < 126 ? 2 : size < 65536 ? 4 : 10);
  head[0] = first | opcode;
  head[1] = 0x80 | (size < 126 ? size : size < 65536 ? 126 : 127);
  if (head.length === 4) head.writeUInt16BE(size, 2);
  if (head.length === 10) head.writeBigUInt64BE(BigInt(size), 2);
  return Buffer.concat([head, mask, Buffer.from(payload.map((octet, at) => octet ^ mask[at % 4]))]);
}

/** A WebSocket on a stream of its own. */
class Peer {
  #input = Buffer.alloc(0);

  static async open(session, path, fields = {}) {
    if (!session.remoteSettings?.enableConnectProtocol) await once(session, 'remoteSettings');
    const peer = new Peer();
    peer.stream = session.request(
      { ':method': 'CONNECT', ':protocol': 'websocket', ':path': path, 'sec-websocket-version': '13', ...fields },
      { endStream: false },
    );
    peer.closed = once(peer.stream, 'close');
    peer.stream.on('data', (octets) => {
      peer.#input = Buffer.concat([peer.#input, octets]);
    });
    [peer.head] = await once(peer.stream, 'response');
    return peer;
  }

  send(opcode, payload, first) {
    this.stream.write(frame(opcode, Buffer.from(payload), first));
  }

  /** The next `count` octets. */
  async #take(count) {
    while (this.#input.length < count) await once(this.stream, 'data');
    const taken = this.#input.subarray(0, count);
    this.#input = this.#input.subarray(count);
    return taken;
  }

  /** The next frame: `[opcode, payload, whether it is the last of its message]`. */
  async next() {
    const [first, second] = await this.#take(2);
    const size = second === 126 ? (await this.#take(2)).readUInt16BE() : second === 127 ? Number((await this.#take(8)).readBigUInt64BE()) : second;
    return [first & 15, await this.#take(size), first >= 0x80];
  }

  /** The next message, whole. */
  async message() {
    const parts = [];
    for (;;) {
      const [, part, end] = await this.next();
      parts.push(part);
      if (end) return Buffer.concat(parts);
    }
  }
}

const scenarios = {
  async requests(session) {
    const hello = await ask(session, { ':path': '/hello' });
    check('GET /hello', hello.status === 200 && String(hello.content) === 'Hello, world!', hello.status);
    check('a field of HTTP/1.1 connections is not there', !('connection' in hello.head) && !('keep-alive' in hello.head), JSON.stringify(hello.head));
    const head = await ask(session, { ':method': 'HEAD', ':path': '/hello' });
    check('HEAD /hello', head.status === 200 && head.head['content-length'] === '13' && head.content.length === 0, head.status);
    check('404', (await ask(session, { ':path': '/no/such/page' })).status === 404);
    check('405', (await ask(session, { ':method': 'DELETE', ':path': '/hello' })).status === 405);
    const all = await Promise.all(Array.from({ length: 500 }, () => ask(session, { ':path': '/hello' })));
    check('500 requests in parallel', all.every(({ status, content }) => status === 200 && content.length === 13));
    const cookies = await ask(session, { ':path': '/hello', cookie: ['a=1', 'b=2', 'c=3'] });
    check('cookies in crumbs', cookies.status === 200, cookies.status);
  },

  async uploads(session) {
    const contents = Array.from({ length: 20 }, (_, number) => randomBytes(number * 50_000));
    const all = await Promise.all(contents.map((content) => ask(session, { ':method': 'POST', ':path': '/echo' }, content)));
    check('20 uploads in parallel come back each as its own', all.every(({ content }, at) => content.equals(contents[at])));
    const large = randomBytes(10_000_000);
    const back = await ask(session, { ':method': 'POST', ':path': '/echo', 'content-length': large.length }, large);
    check('10 MB come back', back.content.equals(large), back.content.length);
  },

  async resets(session) {
    const stream = session.request({ ':method': 'POST', ':path': '/echo' }, { endStream: false });
    stream.write('begun');
    await once(stream, 'response');
    stream.close(http2.constants.NGHTTP2_CANCEL);
    await once(stream, 'close');
    const hello = await ask(session, { ':path': '/hello' });
    check('a stream that is reset leaves the others alone', hello.status === 200, hello.status);
    const took = await new Promise((resolve, reject) => session.ping((error, duration) => (error ? reject(error) : resolve(duration))));
    check('a ping is answered', took >= 0, took);
  },

  async websockets(session) {
    const peers = await Promise.all(Array.from({ length: 20 }, () => Peer.open(session, '/echo')));
    check('20 WebSockets on one connection', peers.every(({ head }) => head[':status'] === 200));
    peers.forEach((peer, number) => peer.send(1, `number ${number}`));
    const back = await Promise.all(peers.map((peer) => peer.message()));
    check('each hears itself', back.every((text, number) => String(text) === `number ${number}`), back);
    const [peer] = peers;
    for (const size of [0, 125, 126, 65535, 65536, 1 << 20, 4 << 20]) {
      const octets = randomBytes(size);
      peer.send(2, octets);
      check(`${size} octets come back`, (await peer.message()).equals(octets));
    }
    peer.send(1, 'one ', 0);
    peer.send(9, 'between');
    peer.send(0, 'two');
    const [opcode, pong] = await peer.next().then(async (next) => (next[0] === 10 ? next : peer.next()));
    check('a ping between fragments is answered', opcode === 10 && String(pong) === 'between', opcode);
    const hello = await ask(session, { ':path': '/hello' });
    check('requests go on beside WebSockets', hello.status === 200, hello.status);
    const last = peers.at(-1);
    last.send(8, [0x03, 0xe8]);
    const [close, payload] = await last.next();
    check('Close is answered', close === 8 && payload.readUInt16BE() === 1000, close);
    last.stream.end();
    await last.closed;
    check('and ends the stream in order', last.stream.rstCode === 0, last.stream.rstCode);
    for (const other of peers.slice(0, -1)) other.stream.close(http2.constants.NGHTTP2_CANCEL);
    await Promise.all(peers.map(({ closed }) => closed));
    check('WebSockets that vanish leave the connection alone', (await ask(session, { ':path': '/hello' })).status === 200);
  },

  async published(session) {
    const drawing = { 'sec-websocket-protocol': 'lws-mirror' };
    const peers = await Promise.all(Array.from({ length: 3 }, () => Peer.open(session, '/demo/mirror', drawing)));
    check('3 of those who draw are on one connection', peers.every(({ head }) => head[':status'] === 200), peers.map(({ head }) => head[':status']));
    const line = 'd #ff0000 1 2 3 4';
    peers[0].send(1, line);
    for (const [number, peer] of peers.entries()) {
      let text = '';
      while (!text.includes(line)) text = String(await peer.message());
      check(`number ${number} sees what the first has drawn`, true);
    }
  },
};

async function drained(port, server) {
  const session = connect(port);
  const peer = await Peer.open(session, '/echo');
  const upload = session.request({ ':method': 'POST', ':path': '/echo' }, { endStream: false });
  const parts = [];
  upload.on('data', (part) => parts.push(part));
  upload.write('before, ');
  await once(upload, 'response');
  const goaway = once(session, 'goaway');
  const gone = once(server, 'exit');
  server.kill('SIGTERM');
  const [opcode, payload] = await peer.next();
  check('SIGTERM: a WebSocket is closed with 1001', opcode === 8 && payload.readUInt16BE() === 1001, opcode);
  check('SIGTERM: GOAWAY without an error', (await goaway)[0] === 0);
  upload.end('after');
  await once(upload, 'close');
  check('SIGTERM: what runs is finished', String(Buffer.concat(parts)) === 'before, after', Buffer.concat(parts));
  peer.send(8, payload);
  peer.stream.end();
  const [status] = await gone;
  check('SIGTERM: the server ends with 0', status === 0, status);
  session.destroy();
}

const port = await freePort();
const server = spawn(process.env.LWSWS, ['--port', String(port), '--quiet'], { stdio: ['ignore', 'inherit', 'inherit'] });
try {
  await waitForPort(port);
  for (const [name, scenario] of Object.entries(scenarios)) {
    await inTime(check, name, async () => {
      const session = connect(port);
      await scenario(session);
      session.destroy();
    });
  }
  await inTime(check, 'drained', () => drained(port, server));
} catch (error) {
  check('the server starts', false, error.message);
} finally {
  server.kill('SIGTERM');
}
finish();
