import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';

/** A way to a database that a test can break: a TCP port in front of the URL's socket or host. */
export interface TcpProxy {
  /** The same database, by way of the proxy. */
  url: string;
  /** Resets every connection, and refuses new ones until `restore`. */
  cut: () => Promise<void>;
  restore: () => Promise<void>;
  close: () => Promise<void>;
}

export async function proxyTo(databaseUrl: string): Promise<TcpProxy> {
  const target = new URL(databaseUrl);
  const socketFolder = target.searchParams.get('host');
  const port = target.port || target.searchParams.get('port') || '5432';
  const dial = (): Socket =>
    socketFolder === null ? connect(Number(port), target.hostname) : connect(`${socketFolder}/.s.PGSQL.${port}`);
  const open = new Set<Socket>();
  const server = createServer((client) => {
    const database = dial();
    open.add(client);
    client.on('close', () => open.delete(client));
    for (const [from, to] of [
      [client, database],
      [database, client],
    ] as const) {
      from.on('error', () => to.destroy());
      from.on('close', () => to.destroy());
      from.pipe(to);
    }
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  const listening = typeof address === 'object' && address !== null ? address.port : 0;
  const cut = async (): Promise<void> => {
    if (!server.listening) return;
    const closed = once(server, 'close');
    server.close();
    for (const socket of open) socket.resetAndDestroy();
    await closed;
  };
  const url = new URL(databaseUrl);
  url.searchParams.delete('host');
  url.searchParams.delete('port');
  return {
    url: `postgresql://${url.username}:${url.password}@127.0.0.1:${listening}${url.pathname}${url.search}`,
    cut,
    restore: async () => {
      server.listen(listening, '127.0.0.1');
      await once(server, 'listening');
    },
    close: cut,
  };
}
