import { constants } from 'node:zlib';
import { DiscoveryService, MetadataScanner } from '@nestjs/core';
import compress from '@fastify/compress';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { DocumentBuilder, type OpenAPIObject, SwaggerModule } from '@nestjs/swagger';
import { completeOperations } from './http/openapi/complete-operations.js';
import { problemExamples, problemSchema } from './http/openapi/problem-response.js';
import { preparedJson } from './http/openapi/prepared-json.js';
import { schemaConverter, withSentNames } from './http/openapi/schema-converter.js';
import { PublicUrl } from './http/request/public-url.js';
import { routeInventory } from './http/openapi/route-inventory.js';
import { REQUEST_EXAMPLES } from './openapi.examples.js';

/** Where Swagger UI is. */
const DOCS_PATH = 'docs';
const DOCUMENT_PATH = '/openapi.json';

/** Swagger UI runs its own scripts and styles of its own, shows pictures it carries, and calls this server. Nothing else. */
export const DOCS_CONTENT_SECURITY_POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self' 'unsafe-inline'",
  "img-src 'self' data:",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join(';');

const TAGS: readonly (readonly [name: string, description: string])[] = [
  ['Tasks', 'What is to be done, for whom, and who may see it; the detail is the Neo API’s.'],
  ['Runs', 'Each time a task is worked on.'],
  ['Streams', 'The log of a run, as it happens or afterwards.'],
  ['Assets', 'Files that runs leave.'],
  ['Schedules', 'When tasks run by themselves.'],
  ['Agents', 'Who does the work.'],
  ['Workers', 'The protocol by which your own programs do the work: claim, report, end.'],
  ['Webhooks', 'Being told: webhooks, callbacks, what was sent and how that went.'],
  ['Secrets', 'Values that runs are given and nobody is shown.'],
  ['Audit', 'Who did what, and who was refused.'],
  ['Budgets', 'What may be spent, and what has been.'],
  ['Retention', 'How long what runs leave is kept.'],
  ['Neocu', 'A published API, served at its own paths.'],
  ['Recoupable', 'A published API, served at its own paths.'],
  ['NLA', 'A published API, served at its own paths.'],
  ['Sign-in', 'Who you are: sessions, passwords, public keys.'],
  ['API keys', 'Credentials for programs.'],
  ['Organizations', 'Tenants: nothing is seen across them.'],
  ['Users', 'People.'],
  ['Teams', 'People who share tasks.'],
  ['Projects', 'Tasks that belong together.'],
  ['Accounts', 'For whom work is done.'],
  ['Operations', 'For supervisors and balancers.'],
];

const DESCRIPTION = `A self-hosted system of record and control plane for the tasks that AI agents run.

Every route but those marked as open takes any one credential: \`Authorization: Bearer\` with an access token or an API key, or an
API key in \`x-api-key\`, \`api-key\` or \`apikey\`. Errors of the native API are \`application/problem+json\` (RFC 9457) with a \`code\` from a
closed list; the published surfaces answer in their own shapes. Bodies are JSON in UTF-8; times are ISO 8601 in UTC. What a route does not
take is refused by name, in the query (but for Neocu’s and NLA’s) and in the body; one that takes no body takes \`{}\`. POST routes that create take an \`Idempotency-Key\`: the same key and body again get the same reply, and nothing new.`;

/**
 * The OpenAPI 3.1 document of every route, made from the same Zod schemas that hold the requests.
 * @throws Error where a route cannot be described: two schemas of one name, a route that is not in the document
 */
export function openApiDocument(app: NestFastifyApplication): OpenAPIObject {
  const builder = new DocumentBuilder()
    .setOpenAPIVersion('3.1.0')
    .setTitle('Taskyard')
    .setDescription(DESCRIPTION)
    .setVersion('0.1.0')
    .setLicense('Apache-2.0', 'https://www.apache.org/licenses/LICENSE-2.0')
    .addServer(app.get(PublicUrl).to(''), 'This server')
    .addBearerAuth({ type: 'http', scheme: 'bearer', description: 'An access token or an API key.' }, 'bearer')
    .addApiKey({ type: 'apiKey', in: 'header', name: 'x-api-key' }, 'x-api-key')
    .addApiKey({ type: 'apiKey', in: 'header', name: 'api-key' }, 'api-key')
    .addApiKey({ type: 'apiKey', in: 'header', name: 'apikey' }, 'apikey')
    .addApiKey(
      { type: 'apiKey', in: 'query', name: 'signature', description: 'A link that this server signed, used as it is.' },
      'presigned',
    );
  for (const [name, description] of TAGS) {
    builder.addTag(name, description);
  }
  const document = SwaggerModule.createDocument(app, builder.build(), {
    standardSchemaConverter: schemaConverter(),
    operationIdFactory: (controller, method) => {
      const subject = controller.replace(/Controller$/, '');
      return `${subject.charAt(0).toLowerCase()}${subject.slice(1)}${method.charAt(0).toUpperCase()}${method.slice(1)}`;
    },
  });
  addComponents(document);
  completeOperations(document, routeInventory(app.get(DiscoveryService), app.get(MetadataScanner)), REQUEST_EXAMPLES);
  return withSentNames(withoutUnusedExamples(document));
}

/** A code that no operation answers with (an unknown path's, for one) stays in the list of codes. */
function withoutUnusedExamples(document: OpenAPIObject): OpenAPIObject {
  const paths = JSON.stringify(document.paths);
  const examples = Object.entries(document.components?.examples ?? {}).filter(([code]) =>
    paths.includes(`"#/components/examples/${code}"`),
  );
  return { ...document, components: { ...document.components, examples: Object.fromEntries(examples) } };
}

function addComponents(document: OpenAPIObject): void {
  const components = (document.components ??= {});
  const problem = schemaConverter()(problemSchema, { schemaType: 'output' });
  // Handlers refer to these by name; nothing else would bring them in.
  components.schemas = { ...components.schemas, ...problem?.components };
  components.examples = problemExamples();
  components.headers = {
    'x-request-id': header('Names this request in the server’s log.', '0b7e6a3e-3f0c-4f0e-9a57-0f6f8a4f6a11'),
    'www-authenticate': header('What credentials are taken.', 'Bearer realm="taskyard", ApiKey realm="taskyard"'),
    'retry-after': header('Seconds to wait before trying again.', '2'),
    location: header('The path of what was made.', '/api/v1/tasks/0198f0a0-0000-7000-8000-000000000001'),
    'idempotency-replayed': header(
      '`true` where this is the stored reply to an earlier request with the same key.',
      'true',
    ),
  };
}

function header(
  description: string,
  example: string,
): { description: string; schema: { type: string }; example: string } {
  return { description, schema: { type: 'string' }, example };
}

/**
 * Serves Swagger UI at `/docs` and the document at `/openapi.json`. The document is made at the first request, since only then is the
 * port known that its `servers` name. Swagger UI gets it with a server relative to the page: its policy lets it call no other
 * origin than the one it was opened at, and that may be 127.0.0.1 where the public URL says localhost.
 */
export async function describeApi(app: NestFastifyApplication): Promise<void> {
  const fastify = app.getHttpAdapter().getInstance();
  fastify.addHook('onRoute', (route) => {
    if (route.url === DOCUMENT_PATH || isDocsPath(route.url)) {
      route.compress = { brotliOptions: { params: { [constants.BROTLI_PARAM_QUALITY]: 5 } } };
    }
  });
  await app.register(compress, { global: false, globalDecompression: false });

  let made: OpenAPIObject | null = null;
  const document = (): OpenAPIObject => (made ??= openApiDocument(app));
  const basePath = (): string => new URL(app.get(PublicUrl).to('')).pathname.replace(/\/$/, '');
  fastify.get(DOCUMENT_PATH, preparedJson(document));
  fastify.get(
    `/${DOCS_PATH}${DOCUMENT_PATH}`,
    preparedJson(() => ({ ...document(), servers: [{ url: basePath() || '/' }] })),
  );
  SwaggerModule.setup(
    DOCS_PATH,
    app,
    { ...new DocumentBuilder().build(), paths: {} },
    {
      raw: false,
      customSiteTitle: 'Taskyard API',
      swaggerUrl: `${basePath()}/${DOCS_PATH}${DOCUMENT_PATH}`,
      // Without a document of its own, Swagger UI loads the one above, which is cached.
      swaggerOptions: { spec: {}, persistAuthorization: true, displayRequestDuration: true },
    },
  );
}

/** True for the pages and scripts of Swagger UI. */
export function isDocsPath(path: string): boolean {
  return `${path}/`.startsWith(`/${DOCS_PATH}/`);
}
