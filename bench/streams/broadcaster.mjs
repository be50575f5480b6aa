// The bare limit: a node:http server that writes one framed buffer to every socket it has. No store, no rights, no cursors.
import { createServer } from 'node:http';

const readers = new Set();
const server = createServer((request, response) => {
  if (request.url === '/send') {
    let body = '';
    request.setEncoding('utf8').on('data', (chunk) => (body += chunk));
    request.on('end', () => {
      const framed = Buffer.from(`${Buffer.byteLength(body).toString(16)}\r\n${body}\r\n`);
      for (const socket of readers) socket.write(framed);
      response.end();
    });
    return;
  }
  response.writeHead(200, { 'content-type': 'text/event-stream' });
  response.flushHeaders();
  const { socket } = response;
  readers.add(socket);
  socket.on('close', () => readers.delete(socket));
});
server.listen(0, '127.0.0.1', () => console.log(`listening on ${server.address().port}`));
