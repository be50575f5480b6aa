import type { OpenAPIObject, SwaggerDocumentOptions } from '@nestjs/swagger';
import { z } from 'zod';

type JsonSchema = Record<string, unknown>;
type Converter = NonNullable<SwaggerDocumentOptions['standardSchemaConverter']>;

/** Marks a request's form until its final name is known; no name of ours ends so. */
const SENT = '..sent';
const SENT_NAME = /\b(\w+)\.\.sent\b/g;

interface Converted {
  schema: JsonSchema;
  /** Named schemas (`.meta({id})`) by name. */
  components: Record<string, JsonSchema>;
}

/**
 * Zod schemas as JSON Schema 2020-12, which is what OpenAPI 3.1 speaks. A schema with a name (`.meta({ id })`) becomes a component,
 * the outermost one included. Where what is sent differs from what is kept (a default makes a field optional to send and sure to
 * come back), the request's form is a component of its own; see `withSentNames`.
 *
 * One converter serves one document: it holds that a name means one schema.
 * @throws Error where two different schemas have one name
 */
export function schemaConverter(): Converter {
  const known = new Map<string, string>();
  return (schema, { schemaType }) => {
    if (!(schema instanceof z.ZodType)) {
      return undefined;
    }
    const kept = convert(schema, 'output');
    const converted = schemaType === 'output' ? kept : renamedWhereDifferent(convert(schema, 'input'), kept);
    for (const [name, component] of Object.entries(converted.components)) {
      const text = JSON.stringify(component);
      if ((known.get(name) ?? text) !== text) {
        throw new Error(`two different schemas are named ${name}`);
      }
      known.set(name, text);
    }
    return converted;
  };
}

function convert(schema: z.ZodType, io: 'input' | 'output'): Converted {
  const {
    $schema: _dialect,
    $defs = {},
    ...root
  } = z.toJSONSchema(schema, {
    target: 'draft-2020-12',
    io,
    unrepresentable: 'any',
    override: ({ zodSchema, jsonSchema }) => makeReadable(zodSchema, jsonSchema),
  });
  const components = Object.fromEntries(
    Object.entries($defs).map(([name, definition]) => [name, withoutName(definition)]),
  );
  const converted =
    typeof root.id === 'string'
      ? { schema: { $ref: `#/$defs/${root.id}` }, components: { ...components, [root.id]: withoutName(root) } }
      : { schema: { ...root }, components };
  return withoutJsonValue(converted);
}

/**
 * Any JSON is `{}`. Zod writes it (`z.json()`) as a schema that contains itself, named `__schema…`, and what generators make of that
 * is a type that refers to itself, which TypeScript refuses.
 */
function withoutJsonValue({ schema, components }: Converted): Converted {
  const text = JSON.stringify({ schema, components }, (name: string, value: unknown) =>
    name.startsWith('__schema') ? undefined : value,
  );
  const { schema: plainSchema, components: plainComponents } = convertedShape.parse(
    JSON.parse(text.replace(/\{"\$ref":"#\/\$defs\/__schema\d*"\}/g, '{}')),
  );
  return { schema: plainSchema, components: plainComponents };
}

function withoutName(definition: object): JsonSchema {
  return Object.fromEntries(Object.entries(definition).filter(([keyword]) => keyword !== 'id'));
}

function makeReadable(zodSchema: z.core.$ZodTypes, jsonSchema: JsonSchema): void {
  const { def } = zodSchema._zod;
  if (def.type === 'object' && def.catchall === undefined) {
    // Only what we are sent is closed; replies may gain fields.
    delete jsonSchema['additionalProperties'];
  }
  if (jsonSchema['format'] !== undefined || jsonSchema['type'] !== 'string') {
    // The format says it; and text that stands for a number is documented as the number.
    delete jsonSchema['pattern'];
  }
  if (jsonSchema['minimum'] === Number.MIN_SAFE_INTEGER) {
    delete jsonSchema['minimum'];
  }
  if (jsonSchema['maximum'] === Number.MAX_SAFE_INTEGER) {
    delete jsonSchema['maximum'];
  }
}

/** The request's forms of named schemas, under names of their own where they are not what is kept, or hold one that is not. */
function renamedWhereDifferent(sent: Converted, kept: Converted): Converted {
  const differing = new Set<string>();
  const differs = (name: string): boolean =>
    kept.components[name] !== undefined &&
    JSON.stringify(kept.components[name]) !== JSON.stringify(sent.components[name]);
  for (let before = -1; before !== differing.size;) {
    before = differing.size;
    for (const [name, component] of Object.entries(sent.components)) {
      if (differs(name) || [...differing].some((other) => JSON.stringify(component).includes(`"#/$defs/${other}"`))) {
        differing.add(name);
      }
    }
  }
  return renamed(sent, (name) => (differing.has(name) ? `${name}${SENT}` : name));
}

/**
 * Final names for the forms of requests: `Name` where nothing of that name is ever sent back, else `NameInput`. Only the whole
 * document can tell.
 */
export function withSentNames(document: OpenAPIObject): OpenAPIObject {
  const names = new Set(Object.keys(document.components?.schemas ?? {}));
  const text = JSON.stringify(document).replace(SENT_NAME, (_, name: string) =>
    names.has(name) ? `${name}Input` : name,
  );
  return openApiObject.parse(JSON.parse(text));
}

function renamed(converted: Converted, nameOf: (name: string) => string): Converted {
  return {
    schema: withReferences(converted.schema, nameOf),
    components: Object.fromEntries(
      Object.entries(converted.components).map(([name, component]) => [
        nameOf(name),
        withReferences(component, nameOf),
      ]),
    ),
  };
}

function withReferences(schema: JsonSchema, nameOf: (name: string) => string): JsonSchema {
  const text = JSON.stringify(schema).replace(/"#\/\$defs\/([^"]+)"/g, (_, name: string) =>
    JSON.stringify(`#/$defs/${nameOf(name)}`),
  );
  return jsonObject.parse(JSON.parse(text));
}

const jsonObject = z.record(z.string(), z.unknown());
const convertedShape = z.object({ schema: jsonObject, components: z.record(z.string(), jsonObject) });
const openApiObject = z.custom<OpenAPIObject>((value) => jsonObject.safeParse(value).success);
