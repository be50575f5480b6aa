// The far side: answers 204 at once and tells when the first and the last of a lot came; and a port where nobody ever answers.
import { createServer } from 'node:http';
import { createServer as createSocketServer } from 'node:net';

let expected = 0;
let count = 0;
let first = 0;
const server = createServer((request, response) => {
  request.resume();
  request.on('end', () => {
    response.writeHead(204).end();
    if (count === 0) first = performance.now();
    count += 1;
    if (count === expected)
      process.send({ seconds: (performance.now() - first) / 1000, firstAt: Date.now() - (performance.now() - first) });
  });
});
const dead = createSocketServer((socket) => socket.on('error', () => undefined).resume());
process.on('message', ({ expect }) => {
  expected = expect;
  count = 0;
  process.send({ ready: true });
});
server.listen(0, '127.0.0.1', () =>
  dead.listen(0, '0.0.0.0', () => process.send({ port: server.address().port, deadPort: dead.address().port })),
);
