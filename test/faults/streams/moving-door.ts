import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';

/** An address that stays while the server behind it comes and goes; nobody is behind it at times. */
export interface MovingDoor {
  url: string;
  lead: (url: string | null) => void;
  /** Breaks every connection; new ones are taken. */
  cut: () => void;
  close: () => Promise<void>;
}

export async function openDoor(): Promise<MovingDoor> {
  let port: number | null = null;
  const open = new Set<Socket>();
  const server = createServer((client) => {
    open.add(client);
    client.on('close', () => open.delete(client));
    client.on('error', () => client.destroy());
    if (port === null) {
      client.destroy();
      return;
    }
    const behind = connect(port, '127.0.0.1');
    behind.on('error', () => client.destroy());
    behind.on('close', () => client.destroy());
    client.on('close', () => behind.destroy());
    client.pipe(behind).pipe(client);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  const own = typeof address === 'object' && address !== null ? address.port : 0;
  const cut = (): void => {
    for (const socket of open) socket.resetAndDestroy();
  };
  return {
    url: `http://127.0.0.1:${own}`,
    lead: (url) => {
      port = url === null ? null : Number(new URL(url).port);
    },
    cut,
    close: async () => {
      const closed = once(server, 'close');
      server.close();
      cut();
      await closed;
    },
  };
}
