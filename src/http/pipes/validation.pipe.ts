import { type ArgumentMetadata, Injectable, StandardSchemaValidationPipe } from '@nestjs/common';
import { z } from 'zod';
import { DomainError, type InputIssue } from '../../kernel/errors.js';
import { notAvailableName } from '../filters/not-available.js';

/** The part of a Zod issue beyond the Standard Schema's path and message that we use. */
const unrecognized = z.object({ code: z.literal('unrecognized_keys'), keys: z.array(z.string()) });

/** Most issues told at once; a hostile body must not make a long reply. */
const MAX_ISSUES = 20;

/**
 * Holds every body, query and path parameter against the schema its decorator names, and says what is wrong by JSON Pointer.
 * Path parameters that do not fit are `not-found`: whatever has such an id, it is not here.
 */
@Injectable()
export class ValidationPipe extends StandardSchemaValidationPipe {
  override async transform<Value = unknown>(value: Value, metadata: ArgumentMetadata): Promise<Value> {
    const { schema, type } = metadata;
    if (schema === undefined || !this.toValidate(metadata)) {
      return value;
    }
    const result = await this.validate<Value>(value, schema);
    if (result.issues === undefined) {
      return result.value;
    }
    if (type === 'param') {
      throw new DomainError('not-found', 'There is nothing with this id.');
    }
    throw inputRefusal(result.issues, schema, type === 'query');
  }

  // Bodies come from the strict parser, which refuses such keys; walking them again would cost each request.
  protected override stripProtoKeys(): void {}
}

/** What a Standard Schema says is wrong, at `path`. */
export type Issue = Readonly<{ message: string; path?: readonly (PropertyKey | { key: PropertyKey })[] | undefined }>;

/** What a schema found wrong, as the error that says so: `not-available` where a key of a later version was named. */
export function inputRefusal(issues: readonly Issue[], schema: unknown, isQuery = false): DomainError {
  const told: InputIssue[] = [];
  let notAvailable = false;
  for (const issue of issues.slice(0, MAX_ISSUES)) {
    const path = (issue.path ?? []).map((part) => String(typeof part === 'object' ? part.key : part));
    const extra = unrecognized.safeParse(issue);
    if (!extra.success) {
      told.push({ path: pointer(path, isQuery), message: issue.message });
      continue;
    }
    for (const key of extra.data.keys.slice(0, MAX_ISSUES)) {
      const feature = notAvailableName(schema, [...path, key].join('.'));
      notAvailable ||= feature !== null;
      told.push({
        path: pointer([...path, key], isQuery),
        message:
          feature === null
            ? `There is no ${isQuery ? 'parameter' : 'field'} of this name.`
            : `${feature} is not available in this version.`,
      });
    }
  }
  const first = told[0];
  const where = first === undefined || first.path === '' ? '' : `${first.path}: `;
  return new DomainError(
    notAvailable ? 'not-available' : 'invalid-request',
    `${where}${first?.message ?? 'The request is not valid.'}`,
    {
      issues: told,
    },
  );
}

function pointer(path: readonly string[], isQuery: boolean): string {
  if (isQuery) {
    return `?${path.join('.')}`;
  }
  return path.map((part) => `/${part.slice(0, 200).replaceAll('~', '~0').replaceAll('/', '~1')}`).join('');
}
