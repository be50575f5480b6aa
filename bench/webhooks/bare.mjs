// The bare limit: node:http with kept connections and a signature, and nothing else. One process, as many requests at once as we send.
import { createHmac, randomUUID } from 'node:crypto';
import { Agent, request } from 'node:http';

const { port, count, atOnce, body, secret } = JSON.parse(process.argv[2]);
const agent = new Agent({ keepAlive: true, maxSockets: atOnce });
const key = Buffer.from(secret.slice('whsec_'.length), 'base64');
let left = count;

function send() {
  if (left === 0) return Promise.resolve();
  left -= 1;
  const id = randomUUID();
  const timestamp = String(Math.floor(Date.now() / 1000));
  const signature = createHmac('sha256', key).update(`${id}.${timestamp}.${body}`).digest('base64');
  return new Promise((resolve, reject) => {
    const sent = request(
      {
        agent,
        host: '127.0.0.1',
        port,
        method: 'POST',
        path: '/',
        headers: {
          'content-type': 'application/json',
          'content-length': Buffer.byteLength(body),
          'webhook-id': id,
          'webhook-timestamp': timestamp,
          'webhook-signature': `v1,${signature}`,
        },
      },
      (reply) => {
        reply.resume();
        reply.on('end', resolve);
      },
    );
    sent.on('error', reject);
    sent.end(body);
  }).then(send);
}

await Promise.all(Array.from({ length: atOnce }, send));
agent.destroy();
