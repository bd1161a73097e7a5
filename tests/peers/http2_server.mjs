// An HTTP/2 server on Node's own `http2`, for our client: content and WebSocket frames sent back. `node http2_server.mjs PORT
// [CERTIFICATE KEY]`, with TLS if there is a certificate.

import { readFileSync } from 'node:fs';
import http2 from 'node:http2';

const [port, certificate, key] = process.argv.slice(2);
const settings = { enableConnectProtocol: true };
const server = certificate
  ? http2.createSecureServer({ settings, cert: readFileSync(certificate), key: readFileSync(key) })
  : http2.createServer({ settings });

server.on('stream', (stream, fields) => {
  stream.on('error', (error) => console.error(error.message));
  if (fields[':method'] !== 'CONNECT') {
    stream.respond({ ':status': 200, 'content-type': 'application/octet-stream' });
    if (fields[':method'] === 'GET') stream.end('Hello, world!');
    else stream.pipe(stream);
    return;
  }
  stream.respond({ ':status': 200 });
  let input = Buffer.alloc(0);
  stream.on('data', (octets) => {
    input = Buffer.concat([input, octets]);
    for (;;) {
      const frame = next(input);
      if (!frame) return;
      input = input.subarray(frame.length);
      stream.write(answer(frame));
      if (frame.opcode === 8) stream.end();
    }
  });
});

/** The frame that `input` begins with, unmasked, once it is there as a whole. RFC 6455 §5.2. */
function next(input) {
  if (input.length < 2) return undefined;
  const short = input[1] & 0x7f;
  const head = { 126: 4, 127: 10 }[short] ?? 2;
  if (input.length < head + 4) return undefined;
  const size = short === 126 ? input.readUInt16BE(2) : short === 127 ? Number(input.readBigUInt64BE(2)) : short;
  const length = head + 4 + size;
  if (input.length < length) return undefined;
  const mask = input.subarray(head, head + 4);
  const payload = Buffer.from(input.subarray(head + 4, length).map((octet, at) => octet ^ mask[at % 4]));
  return { first: input[0], opcode: input[0] & 15, payload, length };
}

/** The same frame without a mask; a pong for a ping. */
function answer({ first, opcode, payload }) {
  const size = payload.length;
  const head = Buffer.alloc(size < 126 ? 2 : size < 65536 ? 4 : 10);
  head[0] = opcode === 9 ? 0x8a : first;
  head[1] = size < 126 ? size : size < 65536 ? 126 : 127;
  if (head.length === 4) head.writeUInt16BE(size, 2);
  if (head.length === 10) head.writeBigUInt64BE(BigInt(size), 2);
  return Buffer.concat([head, payload]);
}

server.listen(Number(port), '127.0.0.1');
