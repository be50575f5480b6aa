import type { FastifyReply } from 'fastify';
import type { Outcome } from '../../database/idempotency.js';

/** The reply to a create: `Location`, and where an Idempotency-Key was seen before, the header that says so. */
export function created<Value>(
  reply: FastifyReply,
  outcome: Outcome<Value>,
  location: (value: Value) => string,
): Value {
  void reply.header('location', location(outcome.value));
  return answered(reply, outcome);
}

/** The reply to a request that took an Idempotency-Key; where the key was seen before, the header says so. */
export function answered<Value>(reply: FastifyReply, outcome: Outcome<Value>): Value {
  if (outcome.replayed) {
    void reply.header('idempotency-replayed', 'true');
  }
  return outcome.value;
}
