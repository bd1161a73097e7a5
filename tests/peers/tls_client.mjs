// Node's own https and http2 and the package `ws` over TLS, asking our server: `node tls_client.mjs PORT`.
//
// NODE_EXTRA_CA_CERTS names the root. Prints `done`, or ends with an error.

import assert from 'node:assert';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import http2 from 'node:http2';
import https from 'node:https';
import { createRequire } from 'node:module';

const WebSocket = createRequire(`${process.env.NODE_MODULES}/`)('ws');
const port = process.argv[2];

const agent = new https.Agent({ keepAlive: true, maxSockets: 4 });
async function post(octets) {
  const request = https.request({ host: 'localhost', port, path: '/echo', method: 'POST', agent });
  request.end(octets);
  const [response] = await once(request, 'response');
  const protocol = response.socket.getProtocol();
  const back = [];
  for await (const chunk of response) back.push(chunk);
  assert(Buffer.concat(back).equals(octets));
  return protocol;
}
const protocols = await Promise.all([0, 1, 1300, 16_384, 100_000, 3_000_000].map((size) => post(randomBytes(size))));
assert(protocols.every((protocol) => protocol === 'TLSv1.3'));
agent.destroy();

// Over HTTP/2, too: Node's own `http2` offers nothing but `h2`.
const session = http2.connect(`https://localhost:${port}`);
const stream = session.request({ ':method': 'POST', ':path': '/echo' });
const octets = randomBytes(1_000_000);
stream.end(octets);
const back = [];
for await (const chunk of stream) back.push(chunk);
assert(Buffer.concat(back).equals(octets));
assert.equal(session.alpnProtocol, 'h2');
session.close();

const peer = new WebSocket(`wss://localhost:${port}/echo`, { maxPayload: 64 << 20 });
await once(peer, 'open');
for (const size of [0, 1, 126, 65_536, 1 << 20, 8 << 20]) {
  const octets = randomBytes(size);
  peer.send(octets);
  const [back] = await once(peer, 'message');
  assert(octets.equals(back));
}
peer.close(1000);
const [code] = await once(peer, 'close');
assert.equal(code, 1000);
console.log('done');
