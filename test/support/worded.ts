import type { Reply } from './server.js';

/** What a refusal says, without what differs between any two requests: to show that two refusals tell nothing apart. */
export function worded(reply: Reply | undefined): unknown {
  const { request_id: _requestId, instance: _instance, ...rest } = reply?.body ?? {};
  return { status: reply?.status, ...rest };
}
