// Node's own http and http2 and a file that is cut while it is sent: `node cut_responses.mjs http1|http2 PORT FILE`.
//
// Prints `cut` if the response came to an error, and `complete` with its length if it looked complete.

import { truncateSync } from 'node:fs';
import http from 'node:http';
import http2 from 'node:http2';

const [protocol, port, file] = process.argv.slice(2);

/** Reads once, cuts the file, and reads to the end. */
async function read(content) {
  let length = 0;
  for await (const part of content) {
    if (length === 0) truncateSync(file, 1_000);
    length += part.length;
  }
  return length;
}

function overHttp1() {
  return new Promise((resolve, reject) => {
    const request = http.get({ host: '127.0.0.1', port, path: '/large.bin', agent: false }, (response) => read(response).then(resolve, reject));
    request.on('error', reject);
  });
}

function overHttp2() {
  return new Promise((resolve, reject) => {
    const session = http2.connect(`http://127.0.0.1:${port}`);
    session.on('error', reject);
    const stream = session.request({ ':path': '/large.bin' });
    const done = () => session.destroy();
    // A stream that is reset with CANCEL or NO_ERROR ends its content without an error; `aborted` says no more than that.
    read(stream).then(resolve, reject).finally(done);
  });
}

try {
  const length = await (protocol === 'http2' ? overHttp2() : overHttp1());
  console.log(`complete: ${length}`);
} catch {
  console.log('cut');
}
