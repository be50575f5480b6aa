import { Controller, Get, Res } from '@nestjs/common';
import { ApiBearerAuth, ApiOperation, ApiSecurity, ApiTags } from '@nestjs/swagger';
import type { FastifyReply } from 'fastify';
import { z } from 'zod';
import { Public, Requires } from '../../access/index.js';
import { Database } from '../../database/database.js';
import { sql } from '../../database/sql.js';
import { Clock } from '../../kernel/clock.js';
import { AnyQuery } from '../guards/declared-input.guard.js';
import { ApiZodResponse } from '../decorators/api-zod-response.js';
import { SharedAddress } from '../connections/shared-address.js';

const detailSchema = z
  .object({
    status: z.enum(['ok', 'unavailable']),
    warnings: z.array(z.string()).describe('What should be changed in the configuration, a sentence each.'),
  })
  .meta({ id: 'HealthDetail' });

const statusSchema = z.object({ status: z.enum(['ok', 'unavailable']) }).meta({ id: 'Health' });

/** Readiness is asked by anyone, often; the database is asked at most this often. */
const REMEMBER_MS = 1_000;

@ApiTags('Operations')
@Controller('health')
@AnyQuery()
export class HealthController {
  #ready: { at: number; answer: Promise<boolean> } | null = null;
  #draining = false;

  constructor(
    private readonly database: Database,
    private readonly clock: Clock,
    private readonly sharedAddress: SharedAddress,
  ) {}

  /** From now on not ready: a stop has begun, and balancers should send no more. */
  drain(): void {
    this.#draining = true;
  }

  get isDraining(): boolean {
    return this.#draining;
  }

  @Get('live')
  @Public('a supervisor asks whether the process answers at all; touches nothing')
  @ApiOperation({
    summary: 'Check liveness',
    description: 'Liveness probe. Returns 200 as long as the process can answer; it checks nothing else.',
  })
  @ApiZodResponse(200, statusSchema, { description: 'The process answers.', example: { status: 'ok' } })
  live(): z.output<typeof statusSchema> {
    return { status: 'ok' };
  }

  @Get('ready')
  @Public('a balancer asks whether to send requests; says nothing but yes or no')
  @ApiOperation({
    summary: 'Check readiness',
    description:
      'Readiness probe. Returns 200 when the server accepts requests and can reach its database, otherwise 503.',
  })
  @ApiZodResponse(200, statusSchema, { description: 'Requests are served.', example: { status: 'ok' } })
  @ApiZodResponse(503, statusSchema, {
    description: 'Starting, stopping, or the database is away.',
    example: { status: 'unavailable' },
  })
  async ready(@Res({ passthrough: true }) reply: FastifyReply): Promise<z.output<typeof statusSchema>> {
    if (!this.#draining && (await this.#databaseAnswers())) {
      return { status: 'ok' };
    }
    void reply.status(503).header('retry-after', '1');
    return { status: 'unavailable' };
  }

  @Get('detail')
  @Requires('instance:operate')
  @ApiBearerAuth('bearer')
  @ApiSecurity('x-api-key')
  @ApiOperation({
    summary: 'Get readiness with warnings for the operator',
    description:
      'Returns the readiness of this process, and what its operator should change: for example, that all requests come from one private ' +
      'address while `TRUST_PROXY` is not set.',
  })
  @ApiZodResponse(200, detailSchema, {
    description: 'The readiness and the warnings.',
    example: { status: 'ok', warnings: [] },
  })
  async detail(): Promise<z.output<typeof detailSchema>> {
    const isReady = !this.#draining && (await this.#databaseAnswers());
    const { warning } = this.sharedAddress;
    return { status: isReady ? 'ok' : 'unavailable', warnings: warning === null ? [] : [warning] };
  }

  #databaseAnswers(): Promise<boolean> {
    const now = this.clock.nowMs();
    if (this.#ready === null || now - this.#ready.at > REMEMBER_MS) {
      const answer = this.database.row(sql`select 1`).then(
        () => true,
        () => false,
      );
      this.#ready = { at: now, answer };
    }
    return this.#ready.answer;
  }
}
