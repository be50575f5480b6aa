import type { RunTree } from './interaction.schema.js';

const ROOT = '0198f0a0-0000-7000-8000-000000000002';
const CHILD = '0198f0a0-0000-7000-8000-000000000003';
const AT = '2026-01-31T09:00:00.000Z';

const NODE = {
  agent_id: '0198c0de-0000-7000-8000-000000000010',
  agent: 'writer',
  wait_kind: null,
  attempt: 1,
  created_at: AT,
  started_at: AT,
};

/** A parent that waits for one child. */
export const RUN_TREE_EXAMPLE: RunTree = {
  run_id: ROOT,
  root_run_id: ROOT,
  truncated: false,
  nodes: [
    {
      ...NODE,
      id: ROOT,
      number: 1,
      parent_run_id: null,
      depth: 0,
      status: 'waiting',
      wait_kind: 'children',
      finished_at: null,
    },
    { ...NODE, id: CHILD, number: 2, parent_run_id: ROOT, depth: 1, status: 'running', finished_at: null },
  ],
};

export const ASKED_EXAMPLE = {
  id: ROOT,
  status: 'waiting',
  question_id: '0198f0a0-0000-7000-8000-000000000004',
  due_at: '2026-01-31T10:00:00.000Z',
};

export const STARTED_CHILDREN_EXAMPLE = { runs: [{ id: CHILD, number: 2 }], waiting: true };
