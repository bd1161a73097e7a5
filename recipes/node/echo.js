// The echo server in a program of Node, on its own loop and thread: handlers are functions of JavaScript, and its timers go on.
'use strict';

const { serve } = require(process.env.LWX_ADDON);

let ticks = 0;
// Not a reason for Node to go on: the service is, until it has ended.
setInterval(() => { ticks += 1; }, 10).unref();
serve(process.argv[2] ?? '127.0.0.1:7681', (message) => message);
process.on('exit', () => console.log(`ticks ${ticks}`));
