// The bare limit: node:http and pg, the very statements our server sends, prepared, the JSON passed on. No routes, no rights, no words.
import { createServer } from 'node:http';
import { readFileSync } from 'node:fs';
import pg from 'pg';

const { url, statements } = JSON.parse(readFileSync(process.argv[2], 'utf8'));
const pool = new pg.Pool({ connectionString: url, max: 16 });

const server = createServer((request, response) => {
  const index = Number(request.url.slice(1));
  const { text, values } = statements[index];
  pool.query({ name: `bare${index}`, text, values }).then(
    ({ rows }) => {
      const body = JSON.stringify(rows[0]?.body ?? rows);
      response.writeHead(200, {
        'content-type': 'application/json; charset=utf-8',
        'content-length': Buffer.byteLength(body),
      });
      response.end(body);
    },
    (error) => {
      console.error(error.message);
      response.writeHead(500).end();
    },
  );
});
server.listen(0, '127.0.0.1', () => console.log(`listening on ${server.address().port}`));
process.once('SIGTERM', () => process.exit(0));
