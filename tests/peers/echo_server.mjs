// A WebSocket echo server on the Node package `ws`, for our client: `node echo_server.mjs PORT`;
// over TLS with `node echo_server.mjs PORT CERTIFICATE KEY`.

import { readFileSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import { createRequire } from 'node:module';

const { WebSocketServer } = createRequire(`${process.env.NODE_MODULES}/`)('ws');

const [port, certificate, key] = process.argv.slice(2);
const server = certificate
  ? https.createServer({ cert: readFileSync(certificate), key: readFileSync(key) })
  : http.createServer();
server.listen(Number(port), '127.0.0.1');

new WebSocketServer({ server, maxPayload: 64 << 20, perMessageDeflate: { threshold: 0 } }).on('connection', (peer) => {
  peer.on('message', (octets, isBinary) => peer.send(octets, { binary: isBinary }));
  peer.on('error', (error) => console.error(error.message));
});
