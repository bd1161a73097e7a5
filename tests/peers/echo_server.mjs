// A WebSocket echo server on the Node package `ws`, for our client: `node echo_server.mjs PORT`.

import { createRequire } from 'node:module';

const { WebSocketServer } = createRequire(`${process.env.NODE_MODULES}/`)('ws');

new WebSocketServer({ host: '127.0.0.1', port: Number(process.argv[2]), maxPayload: 64 << 20, perMessageDeflate: { threshold: 0 } }).on('connection', (peer) => {
  peer.on('message', (octets, isBinary) => peer.send(octets, { binary: isBinary }));
  peer.on('error', (error) => console.error(error.message));
});
