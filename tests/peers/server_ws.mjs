// WebSocket of our server, asked by the Node package `ws`.
//
// LWSWS names the server; NODE_MODULES the folder in which `ws` is installed.

import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createRequire } from 'node:module';

import { checksOf, finish, freePort, inTime, waitForPort } from './checks.mjs';

const WebSocket = createRequire(`${process.env.NODE_MODULES}/`)('ws');
const check = checksOf('ws');

async function dial(port, protocols = [], options = {}) {
  const peer = new WebSocket(`ws://127.0.0.1:${port}/echo`, protocols, { maxPayload: 64 << 20, ...options });
  await once(peer, 'open');
  return peer;
}

/** The next `count` messages, in order: `[octets, isBinary]`. */
function receive(peer, count) {
  return new Promise((resolve, reject) => {
    const messages = [];
    peer.on('message', function onMessage(octets, isBinary) {
      messages.push([octets, isBinary]);
      if (messages.length === count) {
        peer.off('message', onMessage);
        resolve(messages);
      }
    });
    peer.once('error', reject);
    peer.once('close', (code) => reject(new Error(`closed with ${code} after ${messages.length} messages`)));
  });
}

async function close(peer, code, reason) {
  peer.close(code, reason);
  const [gotCode, gotReason] = await once(peer, 'close');
  return { code: gotCode, reason: String(gotReason) };
}

const scenarios = {
  async echoes(port) {
    const peer = await dial(port);
    for (const size of [0, 1, 125, 126, 65535, 65536, 1 << 20, 16 << 20]) {
      const octets = randomBytes(size);
      peer.send(octets);
      const [[back, isBinary]] = await receive(peer, 1);
      check(`${size} octets come back`, isBinary && octets.equals(back), back.length);
    }
    peer.send('κόσμε');
    const [[text, isBinary]] = await receive(peer, 1);
    check('text comes back as text', !isBinary && String(text) === 'κόσμε', text);
    await close(peer, 1000);
  },

  async manyMessages(port) {
    const peer = await dial(port);
    const messages = Array.from({ length: 20_000 }, (_, number) => `message ${number} ${'.'.repeat(number % 200)}`);
    const receiving = receive(peer, messages.length);
    for (const message of messages) peer.send(message);
    const back = (await receiving).map(([octets]) => String(octets));
    check('20,000 messages without waiting come back in order', back.every((text, number) => text === messages[number]));
    await close(peer, 1000);
  },

  async fragments(port) {
    const peer = await dial(port, [], { perMessageDeflate: false });
    const receiving = receive(peer, 1);
    peer.send('one ', { fin: false });
    peer.send('two ', { fin: false });
    peer.ping('between');
    const [pong] = await once(peer, 'pong');
    check('a ping between fragments is answered at once', String(pong) === 'between', pong);
    peer.send('three', { fin: true });
    const [[text]] = await receiving;
    check('fragments are one message', String(text) === 'one two three', text);
    await close(peer, 1000);
  },

  async closes(port) {
    for (const [code, reason] of [[1000, ''], [1000, 'done'], [3000, 'registered'], [4999, 'ours']]) {
      const answer = await close(await dial(port), code, reason);
      check(`close ${code} is answered with ${code}`, answer.code === code, JSON.stringify(answer));
    }
    const peer = await dial(port);
    peer.close();
    const [code] = await once(peer, 'close');
    check('a close without a code is answered without one', code === 1005 || code === 1000, code);
  },

  async handshakes(port) {
    const offered = ['chat', 'superchat'];
    // `ws` refuses an answer without a subprotocol when it offered one; that is its own rule, so both are fine here.
    try {
      const peer = await dial(port, offered);
      check('a chosen subprotocol is one that was offered', offered.includes(peer.protocol), peer.protocol);
      await close(peer, 1000);
    } catch (error) {
      check('no subprotocol is chosen', error.message === 'Server sent no subprotocol', error.message);
    }
    const refused = new WebSocket(`ws://127.0.0.1:${port}/no/such/socket`);
    const [, response] = await once(refused, 'unexpected-response');
    check('an unknown path is refused', response.statusCode >= 400 && response.statusCode < 500, response.statusCode);
    refused.on('error', () => {});
    refused.terminate();
    const peer = await dial(port, [], { perMessageDeflate: true });
    peer.send('x'.repeat(5000));
    const [[text]] = await receive(peer, 1);
    check('an offer of permessage-deflate does not get in the way', text.length === 5000, text.length);
    await close(peer, 1000);
  },

  async resets(port) {
    const peers = await Promise.all(Array.from({ length: 50 }, () => dial(port)));
    for (const peer of peers) {
      peer.send(randomBytes(100_000));
      peer.terminate();
    }
    const after = await dial(port);
    after.send('alive');
    const [[text]] = await receive(after, 1);
    check('the server outlives 50 peers that vanish', String(text) === 'alive', text);
    await close(after, 1000);
  },
};

/** Every window and every takeover, both ways, with a server that agrees on compression. */
const compressed = {
  async deflate(port) {
    for (const serverNoContextTakeover of [false, true]) {
      for (const clientNoContextTakeover of [false, true]) {
        for (let bits = 9; bits <= 15; bits += 1) {
          const perMessageDeflate = {
            threshold: 0,
            // To `ws`, false is not "no need" but "not allowed".
            serverNoContextTakeover: serverNoContextTakeover || undefined,
            clientNoContextTakeover: clientNoContextTakeover || undefined,
            serverMaxWindowBits: bits, clientMaxWindowBits: 24 - bits,
          };
          const name = `deflate, ${bits} bits, no takeover ${serverNoContextTakeover}/${clientNoContextTakeover}`;
          const peer = await dial(port, [], { perMessageDeflate });
          check(`${name} is agreed on`, peer.extensions.startsWith('permessage-deflate'), peer.extensions);
          const sizes = [0, 1, 100, 300, 16383, 16384, 16385, 70_000, 1 << 20];
          const messages = sizes.map((size, at) => (at % 3 ? Buffer.from(`{"id":${at},"side":"buy"},`.repeat(size / 20 + 1)).subarray(0, size) : randomBytes(size)));
          const receiving = receive(peer, messages.length);
          for (const message of messages) peer.send(message);
          const back = (await receiving).map(([octets]) => octets);
          check(`${name}: every message comes back`, back.every((octets, at) => octets.equals(messages[at])));
          await close(peer, 1000);
        }
      }
    }
  },
};

async function serve(scenarios, options) {
  const port = await freePort();
  const server = spawn(process.env.LWSWS, ['--port', String(port), '--quiet', ...options], { stdio: ['ignore', 'inherit', 'inherit'] });
  try {
    await waitForPort(port);
    for (const [name, scenario] of Object.entries(scenarios)) {
      await inTime(check, name, () => scenario(port));
    }
  } catch (error) {
    check('the server starts', false, error.message);
  } finally {
    server.kill('SIGTERM');
  }
}

await serve(scenarios, []);
await serve(compressed, ['--deflate=server_no_context_takeover=0,client_no_context_takeover=0,threshold=0']);
await serve(compressed, ['--deflate']);
finish();
