import { Server } from 'node:net';
import { Injectable } from '@nestjs/common';
import { HttpAdapterHost } from '@nestjs/core';
import { AppConfig } from '../../config/app-config.js';

/** Makes absolute links to this server: from PUBLIC_URL, else from the port it listens on; never from a request's Host header. */
@Injectable()
export class PublicUrl {
  #known: string | null = null;

  constructor(
    private readonly config: AppConfig,
    private readonly adapter: HttpAdapterHost,
  ) {}

  /** The link to a path that begins with a slash. */
  to(path: string): string {
    return this.#base() + path;
  }

  /** Known for good once the server listens; asked for by every link of every page. */
  #base(): string {
    if (this.#known === null) {
      const port = this.#listeningPort();
      const base = this.config.publicUrl(port);
      this.#known = port === 0 ? null : base;
      return base;
    }
    return this.#known;
  }

  /** The port in use, which differs from the one configured where that is 0. */
  #listeningPort(): number {
    const server: unknown = this.adapter.httpAdapter.getHttpServer();
    const address = server instanceof Server ? server.address() : null;
    return typeof address === 'object' && address !== null ? address.port : this.config.port;
  }
}
