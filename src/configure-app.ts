import { randomUUID } from 'node:crypto';
import helmet from '@fastify/helmet';
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify';
import { DiscoveryService, MetadataScanner } from '@nestjs/core';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { AppConfig } from './config/app-config.js';
import { AccessDeniedRecorder } from './infrastructure/audit-trail/access-denied-recorder.js';
import { AccessGuard } from './http/guards/access.guard.js';
import { BODY_LIMIT_BYTES } from './http/decorators/body-limit.js';
import { OpenConnections } from './http/connections/connection-limits.js';
import { DeclaredInputGuard } from './http/guards/declared-input.guard.js';
import { continueAdmitted } from './http/body/expect-continue.js';
import { ErrorFilter } from './http/filters/error.filter.js';
import { ErrorPresenters } from './http/filters/error-presenter.js';
import { FreshActorInterceptor } from './http/interceptors/fresh-actor.interceptor.js';
import { refuseUncleanQuery, refuseUncleanText } from './http/body/json/clean-text.js';
import { HealthController } from './http/health/health.controller.js';
import { registerJsonBody } from './http/body/json/json-content-type-parser.js';
import { authenticateBeforeBody } from './http/body/authenticate-before-body.js';
import { rejectMalformedHttp, rejectThrough, rejectUnroutable } from './http/filters/pre-routing-errors.js';
import { rejectUnclearRequests } from './http/connections/unclear-requests.js';
import { registerRawBodies } from './http/decorators/raw-body.js';
import { pathOf } from './http/request/request.js';
import { routeInventory } from './http/openapi/route-inventory.js';
import { ParsingBudget } from './http/body/json/parsing-budget.js';
import { closeIdleConnections } from './http/connections/idle-connections.js';
import { cutStalledReplies } from './http/connections/stalled-replies.js';
import { drainUnreadBodies } from './http/body/unread-body.js';
import { UnsentReplies } from './http/connections/unsent-replies.js';
import { ValidationPipe } from './http/pipes/validation.pipe.js';
import { DomainError } from './kernel/errors.js';
import { Log } from './kernel/log.js';
import { describeApi, DOCS_CONTENT_SECURITY_POLICY, isDocsPath } from './openapi.js';

/** Longest URL part that is a path parameter; ids are 36. */
const MAX_PARAMETER_CHARACTERS = 256;

/** The Fastify that main and the tests run Nest on. */
export function createAdapter(config: AppConfig): FastifyAdapter {
  return new FastifyAdapter({
    bodyLimit: BODY_LIMIT_BYTES.normal,
    trustProxy: config.trustProxy,
    genReqId: () => randomUUID(),
    requestIdHeader: false,
    forceCloseConnections: 'idle',
    // The hook below says it in our words.
    return503OnClosing: false,
    frameworkErrors: rejectUnroutable,
    clientErrorHandler: rejectMalformedHttp,
    routerOptions: { maxParamLength: MAX_PARAMETER_CHARACTERS, ignoreTrailingSlash: false, caseSensitive: true },
    // Slow or stuck senders must not hold a socket for ever; streams of replies are not affected.
    // Bodies have their own time (raw-body.ts): an upload may take as long as it keeps coming.
    requestTimeout: 0,
    http: { headersTimeout: 60_000, requireHostHeader: false },
  });
}

/** Everything between the socket and the handlers that main and the tests share: parsing, walls, errors, documents. */
export async function configureApp(app: NestFastifyApplication): Promise<void> {
  const config = app.get(AppConfig);
  const log = app.get(Log);
  const filter = new ErrorFilter(app.get(ErrorPresenters), app.get(AccessDeniedRecorder), log);
  const fastify = app.getHttpAdapter().getInstance();
  const health = app.get(HealthController);
  const budget = app.get(ParsingBudget);
  const routes = routeInventory(app.get(DiscoveryService), app.get(MetadataScanner));
  rejectThrough(fastify, filter);
  closeIdleConnections(fastify);
  const connections = new OpenConnections(
    {
      total: config.maxConnections,
      perAddress: config.maxConnectionsPerAddress,
      proxies: config.trustProxy === false ? [] : config.trustProxy,
    },
    log,
  );
  connections.limit(fastify);
  cutStalledReplies(fastify);
  drainUnreadBodies(fastify);
  const unsent = new UnsentReplies();
  unsent.count(fastify);

  await app.register(helmet, {
    contentSecurityPolicy: {
      // Helmet's own defaults would let a reply run this server's scripts.
      useDefaults: false,
      directives: {
        'default-src': ["'none'"],
        'base-uri': ["'none'"],
        'form-action': ["'none'"],
        'frame-ancestors': ["'none'"],
      },
    },
    frameguard: { action: 'deny' },
    crossOriginResourcePolicy: { policy: 'same-origin' },
    referrerPolicy: { policy: 'no-referrer' },
  });
  if (config.corsOrigins.length > 0) {
    app.enableCors({
      origin: [...config.corsOrigins],
      methods: ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE'],
      credentials: false,
      exposedHeaders: ['x-request-id', 'location', 'link', 'retry-after', 'idempotency-replayed'],
    });
  }
  registerJsonBody(fastify, budget);
  registerRawBodies(fastify);
  fastify.addHook('onRoute', (route) => {
    const limit = route.config?.bodyLimitBytes;
    if (limit !== undefined) {
      route.bodyLimit = limit;
    }
    if (isDocsPath(route.url)) {
      route.onSend = sayCharset;
    }
  });
  fastify.addHook('onRequest', async (request: FastifyRequest, reply: FastifyReply) => {
    void reply.header('x-request-id', request.id).header('cache-control', 'no-store');
    if (isDocsPath(pathOf(request))) {
      // Pages and scripts are the same for everyone; each has an ETag.
      void reply.header('content-security-policy', DOCS_CONTENT_SECURITY_POLICY).header('cache-control', 'no-cache');
    }
    const isHealth = request.url.startsWith('/health/');
    if (health.isDraining && !isHealth) {
      void reply.header('connection', 'close');
      throw new DomainError('unavailable', 'The server is stopping; try again.', { retryAfterSeconds: 1 });
    }
    if (config.role === 'worker' && !isHealth) {
      throw new DomainError('not-found', 'There is nothing here: this process only runs agents.');
    }
  });

  rejectUnclearRequests(fastify);
  authenticateBeforeBody(fastify, { guard: app.get(AccessGuard), routes, budget, unsent });
  fastify.addHook('preParsing', (request, _reply, payload, done) => {
    if (request.actor !== undefined) {
      connections.know(request.raw.socket);
    }
    done(null, payload);
  });
  continueAdmitted(fastify);
  // Bodies are checked as they are parsed; this is for what the URL decodes to.
  fastify.addHook<{ Querystring: Record<string, unknown>; Params: Record<string, string> }>(
    'preValidation',
    (request, _reply, done) => {
      refuseUncleanQuery(request.query);
      for (const value of Object.values(request.params)) {
        refuseUncleanText(value, '');
      }
      done();
    },
  );

  app.useGlobalPipes(new ValidationPipe());
  app.useGlobalGuards(app.get(AccessGuard), app.get(DeclaredInputGuard));
  app.useGlobalInterceptors(app.get(FreshActorInterceptor));
  app.useGlobalFilters(filter);
  await describeApi(app);

  await app.init();
}

/** Swagger UI's pages and scripts do not say that they are UTF-8. */
function sayCharset(
  _request: FastifyRequest,
  reply: FastifyReply,
  payload: unknown,
  done: (error: null, payload: unknown) => void,
): void {
  const type = reply.getHeader('content-type');
  if (typeof type === 'string' && /^(text|application)\/[a-z]+$/.test(type)) {
    void reply.header('content-type', `${type}; charset=utf-8`);
  }
  done(null, payload);
}
