import { readFileSync } from 'node:fs';
import { Ajv2020 } from 'ajv/dist/2020.js';

const ajv = new Ajv2020({ allErrors: true, strict: true, allowUnionTypes: true });

/** A check of replies against a schema beside the test, made from the published page; answers what does not fit, ideally nothing. */
export function contract(path: string): (value: unknown) => string[] {
  const schema: unknown = JSON.parse(readFileSync(new URL(`../${path}.schema.json`, import.meta.url), 'utf8'));
  const validate = ajv.compile(schema as object);
  return (value) =>
    validate(value)
      ? []
      : (validate.errors ?? []).map(
          (error) => `${error.instancePath} ${error.message ?? ''} ${JSON.stringify(error.params)}`,
        );
}
