// A worker with a person in the loop: asks before it publishes, and has each sending approved where the run is told to.
// It keeps nothing between two claims: what was said comes back with the run, to whichever worker claims it.
//
//   TASKYARD_URL=http://localhost:3000 TASKYARD_KEY=<a worker's or admin's key> node examples/asking-worker.mjs
//
// Make the agent once (admin key), hand in a task, then answer and approve:
//   curl -X POST $TASKYARD_URL/api/v1/agents -H "x-api-key: $TASKYARD_KEY" -H 'content-type: application/json' \
//     -d '{"slug": "press", "name": "Press", "kind": "worker", "default_run_config": {"auto_execute": false}}'
//   curl "$TASKYARD_URL/api/v1/runs?status=waiting" -H "x-api-key: $TASKYARD_KEY"
//   curl -X POST $TASKYARD_URL/api/v1/runs/<id>/answer -H "x-api-key: $TASKYARD_KEY" -H 'content-type: application/json' -d '{"text": "yes"}'
//   curl -X POST $TASKYARD_URL/api/v1/runs/<id>/approvals/send -H "x-api-key: $TASKYARD_KEY" -H 'content-type: application/json' \
//     -d '{"decision": "approve"}'
import process from 'node:process';
import { claimAndWork, post } from './client.mjs';

async function work({ run, task, resume, lease }) {
  const send = (action, body = {}) => post(`/worker/runs/${run.id}/${action}`, { fence: lease.fence, ...body });
  const publish = () => send('complete', { output: { published: true, text: task.prompt } });
  if (resume?.approval !== undefined) {
    const { decision, reason } = resume.approval;
    return decision === 'approve' ? publish() : send('complete', { output: { published: false, reason } });
  }
  if (resume?.answer === undefined) {
    return send('ask', { question: 'Publish it?', options: ['yes', 'no'], timeout_seconds: 86_400, default: 'no' });
  }
  if (resume.answer.parts[0].text === 'no') {
    return send('complete', { output: { published: false } });
  }
  const call = { id: 'send', name: 'publish', input: { text: task.prompt }, requires_approval: true };
  const { waiting } = await send('events', { events: [{ type: 'tool_call', data: call }], batch_id: 'send' });
  // Where it waits, the lease is gone; the next claim brings the decision. Where it does not, nobody wants to be asked.
  return waiting ? undefined : publish();
}

await claimAndWork([process.env.TASKYARD_AGENT ?? 'press'], work);
