import { Server } from 'node:net';
import { Injectable } from '@nestjs/common';
import { HttpAdapterHost } from '@nestjs/core';
import { AppConfig } from '../config/app-config.js';

/** Makes absolute links to this server: from PUBLIC_URL, else from the port it listens on; never from a request's Host header. */
@Injectable()
export class PublicUrl {
  constructor(
    private readonly config: AppConfig,
    private readonly adapter: HttpAdapterHost,
  ) {}

  /** The link to a path that begins with a slash. */
  to(path: string): string {
    return `${this.config.publicUrl(this.#listeningPort())}${path}`;
  }

  /** The port in use, which differs from the one configured where that is 0. */
  #listeningPort(): number {
    const server: unknown = this.adapter.httpAdapter.getHttpServer();
    const address = server instanceof Server ? server.address() : null;
    return typeof address === 'object' && address !== null ? address.port : this.config.port;
  }
}
