import { z } from 'zod';
import { ERROR_CODES, type ErrorCode } from '../../kernel/errors.js';
import { HTTP_STATUS } from '../filters/failure.js';
import { problemExample } from './problem-examples.js';

export const PROBLEM_TYPE = 'application/problem+json';

const CODES = Object.keys(ERROR_CODES).filter((code): code is ErrorCode => Object.hasOwn(ERROR_CODES, code));

/** RFC 9457, with our `code`, `request_id` and `errors`. */
export const problemSchema = z
  .object({
    type: z.string().describe('A URN of the code.'),
    title: z.string().describe('The same for every problem with this code.'),
    status: z.int().describe('The HTTP status.'),
    detail: z.string().describe('What is wrong this time, in words.'),
    instance: z.string().describe('The path of the request.'),
    code: z.enum(CODES).describe('For programs. The list is closed within a version of the API.'),
    request_id: z.string().describe('Also in `x-request-id`; the server’s log has it too.'),
    errors: z.array(
      z.object({
        path: z.string().describe('JSON Pointer into the body, or ?name for a query parameter.'),
        message: z.string(),
      }),
    ),
  })
  .meta({ id: 'Problem' });

/** What OpenAPI says of one problem response: the codes it may come with, each with an example. */
export interface ProblemResponse {
  description: string;
  content: { [PROBLEM_TYPE]: { schema: { $ref: string }; examples: Record<string, { $ref: string }> } };
}

/** One response for codes of one status. */
export function problemResponse(codes: readonly ErrorCode[]): ProblemResponse {
  const examples = Object.fromEntries(codes.map((code) => [code, { $ref: `#/components/examples/${code}` }]));
  return {
    description: codes.map((code) => `\`${code}\`: ${HTTP_STATUS[code][1]}.`).join(' '),
    content: { [PROBLEM_TYPE]: { schema: { $ref: '#/components/schemas/Problem' }, examples } },
  };
}

/** The examples that {@link problemResponse} refers to: one of each code. */
export function problemExamples(): Record<string, { summary: string; value: object }> {
  return Object.fromEntries(
    CODES.map((code) => [code, { summary: HTTP_STATUS[code][1], value: problemExample(code) }]),
  );
}
