// What assets are held against: files out by bare node:http and by @fastify/static, bytes in by bare node:http that hashes and syncs them.
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { open, stat, unlink } from 'node:fs/promises';
import { createServer } from 'node:http';
import { join } from 'node:path';
import fastifyStatic from '@fastify/static';
import Fastify from 'fastify';

const [folder] = process.argv.slice(2);
const fastify = Fastify();
await fastify.register(fastifyStatic, { root: folder, prefix: '/static/' });
await fastify.ready();

createServer(async (request, response) => {
  if (request.url.startsWith('/static/')) {
    fastify.routing(request, response);
  } else if (request.method === 'PUT') {
    const path = join(folder, `in-${Math.random()}`);
    const file = await open(path, 'wx');
    const hash = createHash('sha256');
    for await (const piece of request) {
      hash.update(piece);
      await file.writeFile(piece);
    }
    await file.sync();
    await file.close();
    await unlink(path);
    response.end(hash.digest('hex'));
  } else {
    const path = join(folder, request.url.slice(1));
    const { size } = await stat(path);
    response.writeHead(200, { 'content-type': 'application/octet-stream', 'content-length': size });
    createReadStream(path).pipe(response);
  }
}).listen(0, '127.0.0.1', function () {
  console.log(`listening on ${this.address().port}`);
});
