import { applyDecorators } from '@nestjs/common';
import { ApiHeader, ApiResponse } from '@nestjs/swagger';
import { ApiProblemResponses } from '../../../http/decorators/api-zod-response.js';

/** One frame of a feed, as each format has it. */
interface FeedExample {
  /** Of the frame. */
  id: string;
  event: string;
  /** What a frame carries as `data`, and a download as a line. */
  data: object;
  /** For people. */
  text: string;
}

/** Documents what a route that follows a log answers, in each of its formats, how a client comes back, and what is refused before the first byte. */
export function ApiStreamResponse(description: string, { id, event, data, text }: FeedExample): MethodDecorator {
  const schema = { type: 'string' } as const;
  const line = JSON.stringify(data);
  return applyDecorators(
    ApiHeader({
      name: 'Last-Event-ID',
      required: false,
      description: 'The `id` of the last frame the client has; wins over `after`.',
    }),
    ApiResponse({
      status: 200,
      description,
      content: {
        'text/event-stream': { schema, example: `id: ${id}\nevent: ${event}\ndata: ${line}\n\n` },
        'application/x-ndjson': { schema, example: `${line}\n` },
        'text/plain': { schema, example: text },
      },
    }),
    ApiProblemResponses('not-acceptable', 'cursor-ahead', 'limit-reached'),
  );
}
