/**
 * Wrong requests, drawn from the OpenAPI document: any operation, with something wrong in its path, query, body or headers. All of
 * it follows from a seed, so that a failure can be seen again.
 */
import type { RawRequest } from './raw-http.js';

/* eslint-disable @typescript-eslint/no-explicit-any -- the document is walked as the JSON it is */

/** A small generator of repeatable numbers (mulberry32). */
export class Draw {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  below(limit: number): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), this.#state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) % limit;
  }

  of<Item>(items: readonly Item[]): Item {
    const item = items[this.below(items.length)];
    if (item === undefined) throw new Error('nothing to draw from');
    return item;
  }

  chance(percent: number): boolean {
    return this.below(100) < percent;
  }
}

export interface Operation {
  method: string;
  path: string;
  tag: string;
  operationId: string;
  query: string[];
  isPublic: boolean;
  body: { schema: any; example: any } | null;
  /** Bytes or a form, which the route reads by itself. */
  takesBytes: boolean;
}

export function operationsOf(document: any): Operation[] {
  return Object.entries<any>(document.paths).flatMap(([path, item]) =>
    Object.entries<any>(item).map(([method, operation]) => {
      const json = operation.requestBody?.content['application/json'];
      return {
        method: method.toUpperCase(),
        path,
        tag: operation.tags[0],
        operationId: operation.operationId,
        query: operation.parameters.filter((one: any) => one.in === 'query').map((one: any) => one.name),
        isPublic: operation.security.length === 0,
        takesBytes: json === undefined && operation.requestBody !== undefined,
        body: json === undefined ? null : { schema: resolved(document, json.schema), example: json.example },
      };
    }),
  );
}

function resolved(document: any, schema: any): any {
  return typeof schema?.$ref === 'string' ? document.components.schemas[schema.$ref.split('/').at(-1)] : schema;
}

/** Text that has broken servers: as it is percent-encoded in a URL. */
const NAUGHTY_ENCODED = [
  '%00',
  'a%00b',
  '%',
  '%zz',
  '%c3%28',
  '%ED%A0%80',
  '%f0%9f%92%a9',
  '..',
  '%2e%2e%2f%2e%2e%2fetc%2fpasswd',
  '%252e%252e',
  "'%20or%20'1'='1",
  '%22%3E%3Cimg%20src%3Dx%3E',
  '-1',
  '0',
  '1e3',
  '1.5',
  '+1',
  '0x10',
  '2147483648',
  '9007199254740993',
  '9223372036854775808',
  '-9223372036854775809',
  'NaN',
  'Infinity',
  'null',
  'undefined',
  'true',
  '[]',
  '{}',
  '__proto__',
  'constructor',
  '%0d%0aset-cookie:%20a=b',
  '%E2%80%AE',
  '%EF%BB%BF',
  'a'.repeat(300),
  '00000000-0000-0000-0000-000000000000',
  '0198F0A0-0000-7000-8000-00000000000G',
  '%20',
  '%2F',
  ';',
  '$1',
  '\\',
];

/** Values that fit hardly any field; each as JSON text, since some cannot be made otherwise. */
const NAUGHTY_JSON = [
  '0',
  '-1',
  '1.5',
  '2147483647',
  '2147483648',
  '-2147483649',
  '9007199254740991',
  '9007199254740993',
  '9223372036854775808',
  '1e308',
  '1e400',
  '-0',
  'null',
  'true',
  '""',
  '" "',
  '[]',
  '{}',
  '[[]]',
  '[null]',
  '{"a":{"b":[1,2,{"c":null}]}}',
  '"\\u0000"',
  '"a\\u0000b"',
  '"\\ud800"',
  '"\\udfff\\ud800"',
  '"\\ud83d\\udca9"',
  '"ﷺ"',
  '"\\u202e"',
  '"\\ufeff"',
  '"%s%n"',
  '"$1; --"',
  '"__proto__"',
  '"../../etc/passwd"',
  '"${7*7}"',
  '"2026-13-45T99:99:99Z"',
  '"0000-01-01T00:00:00Z"',
  '"9999-12-31T23:59:59.999Z"',
  '"-infinity"',
  '"* * * * *"',
  '"99 99 99 99 99"',
  '"Europe/Nowhere"',
  '"not-a-uuid"',
  '"00000000-0000-0000-0000-000000000000"',
  '"a@b"',
  '{"__proto__":{"a":1}}',
  '{"a":1,"a":2}',
  `"${'x'.repeat(5000)}"`,
  `[${'0,'.repeat(999)}0]`,
  '['.repeat(65) + ']'.repeat(65),
  `${'{"a":'.repeat(70)}1${'}'.repeat(70)}`,
];

/** Bodies that are wrong whatever is asked for. */
const REFUSED_BODIES: Buffer[] = [
  '{',
  '[1,',
  '{"a"}',
  '{"a":}',
  "{'a':1}",
  '{"a":1}{"b":2}',
  '{"a":1,}',
  'nul',
  '//',
  '\u00a0{}',
  '[]',
  '1',
  '"text"',
  'true',
  'null',
  '{"__proto__":{"admin":true}}',
  '{"constructor":{"prototype":{"a":1}}}',
  '{"prototype":1}',
  '{"no_such_field":1}',
  '{"title":"a","title":"b"}',
  '{"title":"\\u0000"}',
  '{"\\u0000":1}',
  '{"title":"\\ud800"}',
  '{"\\udc00":1}',
  '{"priority":9007199254740993}',
  '{"priority":1e400}',
  `{"a":${'['.repeat(65)}${']'.repeat(65)}}`,
  '['.repeat(100_000),
  `{"a":[${'0,'.repeat(100_001)}0]}`,
  '\ufeff{}',
]
  .map((text) => Buffer.from(text))
  .concat([
    Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d]),
    Buffer.from([0xc3, 0x28]),
    Buffer.from('{"title":"\x00"}'),
  ]);

const WRONG_TYPES = [
  'text/plain',
  'application/x-www-form-urlencoded',
  'multipart/form-data; boundary=x',
  'application/xml',
  'application/json; charset=latin1',
  'application/json;charset=utf-8;a=b',
  'application/jsonp',
  'application/json\t; charset=utf-8',
  'application/json, text/plain',
  'application/octet-stream',
  'json',
  '*/*',
];

const ODD_HEADERS: Record<string, string[]> = {
  'idempotency-key': ['a b', 'ü'.repeat(3), 'x'.repeat(256), ''],
  accept: ['image/png', '*', 'text/event-stream;q=0', ',,,', 'application/json;q=abc'],
  'last-event-id': ['-1', 'abc', '1.5', '9223372036854775808', '99999999', ' '],
  range: ['bytes=-', 'bytes=9-1', 'bytes=0-0,5-9', 'lines=1-2', 'bytes=99999999999999999999-'],
  'if-none-match': ['"', 'W/', '*', '"a", "b"'],
  'content-encoding': ['gzip', 'br', 'identity, gzip'],
  'x-forwarded-for': ['127.0.0.1, ::1', 'not an address'],
  'x-http-method-override': ['DELETE'],
  'api-key': ['tyk_wrong', 'a'.repeat(2000)],
  authorization: ['Bearer', 'Bearer a.b.c', 'Basic YTpi', 'Bearer eyJhbGciOiJub25lIn0.e30.', 'bearer  x'],
};

/** Ids of what there is, by the name of the path's collection. */
export type KnownIds = Readonly<Record<string, string>>;

export class Malformed {
  readonly #draw: Draw;

  constructor(
    seed: number,
    private readonly key: string,
    private readonly ids: KnownIds,
  ) {
    this.#draw = new Draw(seed);
  }

  /** Whether there is anything about the operation that can be got wrong. */
  canBeRefused(operation: Operation): boolean {
    return this.#waysToRefuse(operation).length > 0;
  }

  /** A request that nothing may come of: it is refused, and nothing is stored. */
  refused(operation: Operation): RawRequest {
    return this.#draw.of(this.#waysToRefuse(operation))();
  }

  #waysToRefuse(operation: Operation): (() => RawRequest)[] {
    const ways: (() => RawRequest)[] = [];
    const { body } = operation;
    if (body !== null) {
      ways.push(() => this.#with(operation, { body: this.#draw.of(REFUSED_BODIES) }));
      ways.push(() => this.#with(operation, { body: this.#misfit(body) }));
      ways.push(() =>
        this.#with(operation, { body: json(body.example), headers: { 'content-type': this.#draw.of(WRONG_TYPES) } }),
      );
    }
    if (body === null && operation.method !== 'GET' && !operation.takesBytes) {
      ways.push(() =>
        this.#with(operation, { body: Buffer.from(this.#draw.of(['{"no_such_field":1}', '[]', '""', 'null'])) }),
      );
    }
    if (operation.path.includes('{')) {
      ways.push(() => this.#with(operation, { id: this.#draw.of(NAUGHTY_ENCODED) }));
    }
    if (operation.query.length === 0 && operation.path.startsWith('/api/') && operation.tag !== 'NLA') {
      ways.push(() => this.#with(operation, { query: 'no_such_key=' }));
    }
    if (operation.query.length > 0) {
      const name = operation.query[0] ?? '';
      ways.push(() => this.#with(operation, { query: `${name}=%00` }));
      ways.push(() => this.#with(operation, { query: `${name}=a%ED%A0%80` }));
      if (operation.tag !== 'Neocu' && operation.tag !== 'NLA') {
        ways.push(() => this.#with(operation, { query: `no_such_key=${this.#draw.of(NAUGHTY_ENCODED.slice(12))}` }));
        ways.push(() => this.#with(operation, { query: `${name}=1&${name}=1` }));
      }
    }
    if (!operation.isPublic) {
      const headers = (): Record<string, string> => ({
        authorization: this.#draw.of(ODD_HEADERS['authorization'] ?? []),
      });
      ways.push(() => this.#with(operation, { headers: headers(), body: body === null ? null : json(body.example) }));
    }
    return ways;
  }

  /** Anything at all; some of it may be fine. */
  odd(operation: Operation): RawRequest {
    const query = this.#draw.chance(60) ? '' : this.#oddQuery(operation);
    const headers: Record<string, string> = {};
    if (this.#draw.chance(25)) {
      const name = this.#draw.of(Object.keys(ODD_HEADERS));
      headers[name] = Buffer.from(this.#draw.of(ODD_HEADERS[name] ?? []), 'utf8').toString('latin1');
    }
    return this.#with(operation, {
      ...(this.#draw.chance(35) ? { id: this.#draw.of(NAUGHTY_ENCODED) } : {}),
      ...(query === '' ? {} : { query }),
      headers,
      body: operation.body === null ? null : this.#oddBody(operation.body),
    });
  }

  #with(
    operation: Operation,
    change: { id?: string; query?: string; body?: Buffer | null; headers?: Record<string, string> },
  ): RawRequest {
    const body = change.body ?? null;
    const collection = operation.path.split('/').find((part) => Object.hasOwn(this.ids, part)) ?? '';
    let first = true;
    const path = operation.path.replace(/\{(\w+)\}/g, (_, name: string) => {
      const own = name === 'id' ? this.ids[collection] : this.ids[`${name.replace(/_id$/, '')}s`];
      const usual = operation.method === 'DELETE' || own === undefined ? '0198f0a0-0000-7000-8000-000000000001' : own;
      const chosen = first && change.id !== undefined ? change.id : usual;
      first = false;
      return chosen;
    });
    return {
      method: operation.method,
      path: change.query === undefined ? path : `${path}?${change.query}`,
      headers: {
        authorization: `Bearer ${this.key}`,
        ...(body === null ? {} : { 'content-type': 'application/json' }),
        ...change.headers,
      },
      body,
    };
  }

  #oddQuery(operation: Operation): string {
    const names = [...operation.query, 'limit', 'cursor', 'no_such_key', '__proto__', 'a[b]', '%00', ''];
    return Array.from(
      { length: 1 + this.#draw.below(3) },
      () => `${this.#draw.of(names)}=${this.#draw.of(NAUGHTY_ENCODED)}`,
    ).join('&');
  }

  #oddBody({ schema, example }: { schema: any; example: any }): Buffer {
    const kind = this.#draw.below(10);
    if (kind === 0) {
      return this.#draw.of(REFUSED_BODIES);
    }
    const fields = Object.entries<any>({ ...example }).map(
      ([name, value]) => [name, JSON.stringify(value)] as [string, string],
    );
    const names = Object.keys(schema?.properties ?? {});
    for (let left = 1 + this.#draw.below(3); left > 0; left -= 1) {
      const name = names.length === 0 || this.#draw.chance(10) ? 'no_such_field' : this.#draw.of(names);
      const at = fields.findIndex(([known]) => known === name);
      if (at !== -1 && this.#draw.chance(20)) fields.splice(at, 1);
      else if (at !== -1) fields[at] = [name, this.#draw.of(NAUGHTY_JSON)];
      else fields.push([name, this.#draw.of(NAUGHTY_JSON)]);
    }
    return Buffer.from(`{${fields.map(([name, value]) => `${JSON.stringify(name)}:${value}`).join(',')}}`);
  }

  /** The example with one field of a type it cannot have. */
  #misfit({ schema, example }: NonNullable<Operation['body']>): Buffer {
    const typed = Object.entries<any>(schema?.properties ?? {}).flatMap(([name, property]): [string, unknown][] => {
      if (property.enum !== undefined) return [[name, 'no such thing']];
      switch (property.type) {
        case 'string':
          return [
            [name, 12_345],
            [name, { text: 'a' }],
            ...(property.format === undefined ? [] : [[name, 'neither'] as [string, unknown]]),
          ];
        case 'integer':
          return [
            [name, 1.5],
            [name, '7'],
            [name, 2 ** 53],
          ];
        case 'boolean':
          return [
            [name, 'true'],
            [name, 1],
          ];
        case 'array':
          return [
            [name, {}],
            [name, 'a'],
          ];
        default:
          return [];
      }
    });
    const [name, value] = typed.length === 0 ? ['no_such_field', 1] : this.#draw.of(typed);
    return json({ ...example, [name]: value });
  }
}

function json(value: unknown): Buffer {
  return Buffer.from(JSON.stringify(value ?? {}));
}
