/** What people and workers say about runs that wait, and about runs that have children. */
import { z } from 'zod';
import { idQuery } from '../../../http/openapi/schemas.js';
import { runConfigSchema } from '../../agents/index.js';
import { messagePartSchema, messagePartsSchema } from '../../messages/index.js';
import { nullsAsAbsent } from '../worker/null-members.js';
import { RUN_STATUSES } from '../core/run.state.js';

const KIB = 1024;
/** Thirty days: a question nobody answered by then is not going to be. */
const MAX_TIMEOUT_SECONDS = 2_592_000;
/** Generations below a root. */
export const MAX_DEPTH = 16;
/** Of one run, over all its attempts. */
export const MAX_CHILDREN = 1_000;

const fence = z.string().min(1).max(100).describe('As the claim gave it; opaque.');
const words = z
  .string()
  .min(1)
  .max(16 * KIB);
const option = z.string().min(1).max(500);

export const askSchema = nullsAsAbsent(
  z.strictObject({
    fence,
    question: words,
    options: z
      .array(option)
      .min(1)
      .max(50)
      .refine((options) => new Set(options).size === options.length, 'must differ from one another')
      .optional()
      .describe('Where given, the answer is one of these, word for word.'),
    assignee_id: idQuery
      .optional()
      .describe(
        'The user who is asked; may then read the task and answer, whatever their rights on it, while the question is open.',
      ),
    timeout_seconds: z
      .int()
      .min(1)
      .max(MAX_TIMEOUT_SECONDS)
      .optional()
      .describe(
        'After that, by the database’s time, `default` is the answer; without one the run fails as `QuestionTimedOut`.',
      ),
    default: words.optional(),
  }),
)
  .refine(
    ({ options, default: fallback }) => options === undefined || fallback === undefined || options.includes(fallback),
    {
      path: ['default'],
      error: 'must be one of the options',
    },
  )
  .meta({ id: 'Ask' });
export type AskInput = z.output<typeof askSchema>;

export const askReplySchema = z
  .object({
    id: z.uuid(),
    status: z.literal('waiting'),
    question_id: z.uuid(),
    due_at: z.iso.datetime().nullable(),
  })
  .meta({ id: 'Asked' });
export type AskReply = z.output<typeof askReplySchema>;

/** Said as parts, or for short as text. */
export const answerSchema = z
  .strictObject({
    question_id: idQuery.optional().describe('Refused where the run asks something else by now.'),
    parts: messagePartsSchema.optional(),
    text: z
      .string()
      .min(1)
      .max(1024 * KIB)
      .optional(),
  })
  .refine(({ parts, text }) => (parts === undefined) !== (text === undefined), {
    path: ['text'],
    error: 'give either text or parts',
  })
  .meta({ id: 'Answer', examples: [{ text: 'Yes, publish it.' }] });
export type AnswerInput = z.output<typeof answerSchema>;

export const decisionSchema = z
  .strictObject({
    decision: z.enum(['approve', 'decline']),
    reason: z
      .string()
      .min(1)
      .max(4 * KIB)
      .optional()
      .describe('Told to the worker.'),
  })
  .meta({ id: 'Decision' });
export type DecisionInput = z.output<typeof decisionSchema>;

export const callIdParam = z.string().min(1).max(200);

const newChild = z
  .strictObject({
    agent: z
      .string()
      .min(1)
      .max(63)
      .optional()
      .describe('The agent by slug; the organisation’s default where neither is given.'),
    agent_id: idQuery.optional().describe('The agent by id.'),
    payload: z
      .unknown()
      .optional()
      .refine(
        (value) => value === undefined || Buffer.byteLength(JSON.stringify(value)) <= 1024 * KIB,
        'must be at most 1 MiB as JSON',
      ),
    run_config: runConfigSchema
      .optional()
      .describe('Never more freedom than the parent’s: it asks and acts unapproved only where that may.'),
    priority: z.int().min(-100).max(100).optional().describe('The parent’s where absent.'),
  })
  .refine(({ agent, agent_id: id }) => agent === undefined || id === undefined, {
    path: ['agent_id'],
    error: 'give either agent or agent_id',
  });

export const childrenSchema = nullsAsAbsent(
  z.strictObject({
    fence,
    runs: z.array(newChild).max(100),
    wait: z
      .boolean()
      .default(false)
      .describe('Ends the lease, and claims give the run out again when no child of it is left that has not ended.'),
    batch_id: z
      .string()
      .min(1)
      .max(200)
      .optional()
      .describe('Sent again with the same runs, in a later attempt too, it starts nothing twice.'),
  }),
)
  .refine(({ runs, wait }) => runs.length > 0 || wait, {
    path: ['runs'],
    error: 'must have a run, or wait for those there are',
  })
  .meta({ id: 'StartChildren' });
export type ChildrenInput = z.output<typeof childrenSchema>;

export const childrenReplySchema = z
  .object({
    runs: z.array(z.object({ id: z.uuid(), number: z.int() })).describe('In the order they were asked for.'),
    waiting: z.boolean().describe('True where the lease ended: stop working on the run.'),
  })
  .meta({ id: 'StartedChildren' });
export type ChildrenReply = z.output<typeof childrenReplySchema>;

/** What the last wait of a run ended with; in every claim until it waits again. */
export const resumeSchema = z
  .object({
    answer: z
      .object({
        question_id: z.uuid(),
        question: z.string(),
        parts: z.array(messagePartSchema),
        by: z.uuid().nullable().describe('The user or key; null for the default, at the end of its time.'),
      })
      .optional(),
    approval: z
      .object({
        call_id: z.string(),
        decision: z.enum(['approve', 'decline']),
        reason: z.string().nullable(),
        by: z.uuid(),
      })
      .optional(),
    children: z
      .array(
        z.object({
          id: z.uuid(),
          number: z.int(),
          agent_id: z.uuid(),
          status: z.enum(RUN_STATUSES),
          output: z.record(z.string(), z.unknown()).nullable(),
          output_omitted: z
            .boolean()
            .optional()
            .describe('True where the outputs are over 4 MiB together and this is one of the oldest.'),
          error: z.object({ message: z.string(), name: z.string(), stack_trace: z.string().nullable() }).nullable(),
        }),
      )
      .optional(),
  })
  .meta({ id: 'Resume' });
export type Resume = z.output<typeof resumeSchema>;

/** The open question of a waiting run. */
export const openQuestionSchema = z
  .object({
    id: z.uuid(),
    question: z.string(),
    options: z.array(z.string()).nullable(),
    default: z.string().nullable(),
    assignee_id: z.uuid().nullable(),
    asked_at: z.iso.datetime(),
    due_at: z.iso.datetime().nullable(),
  })
  .meta({ id: 'OpenQuestion' });

/** The tool call of a waiting run that somebody has to approve or decline. */
export const openApprovalSchema = z
  .object({ call_id: z.string(), name: z.string(), input: z.unknown(), asked_at: z.iso.datetime() })
  .meta({ id: 'OpenApproval' });

export const runTreeSchema = z
  .object({
    run_id: z.uuid(),
    root_run_id: z.uuid(),
    truncated: z.boolean().describe('True where the family is larger than the 1,000 runs that are shown.'),
    nodes: z
      .array(
        z.object({
          id: z.uuid(),
          number: z.int(),
          parent_run_id: z.uuid().nullable(),
          depth: z.int(),
          agent_id: z.uuid(),
          agent: z.string().describe('The agent’s slug.'),
          status: z.enum(RUN_STATUSES),
          wait_kind: z.enum(['question', 'approval', 'children']).nullable(),
          attempt: z.int(),
          created_at: z.iso.datetime(),
          started_at: z.iso.datetime().nullable(),
          finished_at: z.iso.datetime().nullable(),
        }),
      )
      .describe('The root first, then by depth and number.'),
  })
  .meta({ id: 'RunTree' });
export type RunTree = z.output<typeof runTreeSchema>;

/** A replay changes nothing of what the run got. */
export const replaySchema = z.strictObject({}).default({}).meta({ id: 'ReplayRun' });
