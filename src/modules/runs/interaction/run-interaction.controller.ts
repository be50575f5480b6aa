import { Body, Controller, Get, HttpCode, Param, Post, Res } from '@nestjs/common';
import { ApiBearerAuth, ApiHeader, ApiOperation, ApiSecurity, ApiTags } from '@nestjs/swagger';
import type { FastifyReply } from 'fastify';
import { type Actor, Requires } from '../../../access/index.js';
import type { IdempotencyTicket } from '../../../database/idempotency.js';
import { BodyLimit } from '../../../http/decorators/body-limit.js';
import { created } from '../../../http/decorators/created.js';
import { CurrentActor } from '../../../http/decorators/current-actor.js';
import { IdempotencyKey } from '../../../http/idempotency/idempotency-key.js';
import { ApiProblemResponses, ApiZodResponse } from '../../../http/decorators/api-zod-response.js';
import { idParam } from '../../../http/openapi/schemas.js';
import { ChildrenService } from '../children/children.service.js';
import { RUN_TREE_EXAMPLE } from './interaction.examples.js';
import {
  answerSchema,
  callIdParam,
  decisionSchema,
  replaySchema,
  runTreeSchema,
  type AnswerInput,
  type DecisionInput,
  type RunTree,
} from './interaction.schema.js';
import { QuestionsService } from './questions.service.js';
import { ReplayService } from '../lifecycle/replay.service.js';
import { QUEUED_RUN_EXAMPLE, RUN_EXAMPLE } from '../views/run.example.js';
import type { RunView } from '../views/runs.query.js';
import { runSchema } from '../views/runs.schema.js';

/** What people do about runs: answer them, decide for them, have them again, look at their families. */
@ApiTags('Runs')
@ApiBearerAuth('bearer')
@ApiSecurity('x-api-key')
@Controller('api/v1/runs/:id')
export class RunInteractionController {
  constructor(
    private readonly questions: QuestionsService,
    private readonly replays: ReplayService,
    private readonly children: ChildrenService,
  ) {}

  @Post('answer')
  @HttpCode(200)
  @BodyLimit('large')
  @Requires('run:contribute')
  @ApiOperation({
    operationId: 'runPeopleAnswer',
    summary: 'Answer a question',
    description:
      'Whoever may contribute to the task may, and the user who was asked. The answer is kept as a message; the run is queued.',
  })
  @ApiZodResponse(200, runSchema, {
    description: 'Answered: the run, back in the queue.',
    example: { ...QUEUED_RUN_EXAMPLE, attempt: 1, started_at: RUN_EXAMPLE.started_at, last_seq: 6 },
  })
  @ApiProblemResponses('not-waiting', 'run-ended')
  answer(
    @CurrentActor() actor: Actor,
    @Param('id', { schema: idParam }) id: string,
    @Body({ schema: answerSchema }) input: AnswerInput,
  ): Promise<RunView> {
    return this.questions.answer(actor, id, input);
  }

  @Post('approvals/:call_id')
  @HttpCode(200)
  @Requires('run:contribute')
  @ApiOperation({
    operationId: 'runPeopleDecide',
    summary: 'Approve or decline a tool call',
    description: 'Answers the approval request of a waiting run. The run goes back to the queue with the decision.',
  })
  @ApiZodResponse(200, runSchema, {
    description: 'Decided: the run, back in the queue; its next worker is told.',
    example: { ...QUEUED_RUN_EXAMPLE, attempt: 1, started_at: RUN_EXAMPLE.started_at, last_seq: 6 },
  })
  @ApiProblemResponses('not-waiting', 'run-ended')
  decide(
    @CurrentActor() actor: Actor,
    @Param('id', { schema: idParam }) id: string,
    @Param('call_id', { schema: callIdParam }) callId: string,
    @Body({ schema: decisionSchema }) input: DecisionInput,
  ): Promise<RunView> {
    return this.questions.decide(actor, id, callId, input);
  }

  @Post('replay')
  @HttpCode(200)
  @Requires('run:create')
  @ApiOperation({
    operationId: 'runPeopleReplay',
    summary: 'Replay a run',
    description: 'Agent, payload, configuration and priority are those of the run, whatever its task says by now.',
  })
  @ApiHeader({
    name: 'Idempotency-Key',
    required: false,
    description: 'The same key again gets the same reply, and no second run.',
  })
  @ApiZodResponse(200, runSchema, {
    description: 'The new run; `replay_of_run_id` is the old one.',
    example: { ...QUEUED_RUN_EXAMPLE, number: 2, replay_of_run_id: RUN_EXAMPLE.id },
  })
  @ApiProblemResponses('conflict', 'limit-reached', 'budget-exceeded')
  async replay(
    @CurrentActor() actor: Actor,
    @Param('id', { schema: idParam }) id: string,
    @Body({ schema: replaySchema }) _input: object,
    @IdempotencyKey() ticket: IdempotencyTicket | null,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<RunView> {
    return created(reply, await this.replays.replay(actor, id, ticket), (run) => `/api/v1/runs/${run.id}`);
  }

  @Get('tree')
  @Requires('run:read')
  @ApiOperation({
    operationId: 'runPeopleTree',
    summary: 'Get the tree of a run',
    description: 'At most 1,000 runs; `truncated` says so.',
  })
  @ApiZodResponse(200, runTreeSchema, { description: 'The family.', example: RUN_TREE_EXAMPLE })
  tree(@CurrentActor() actor: Actor, @Param('id', { schema: idParam }) id: string): Promise<RunTree> {
    return this.children.tree(actor, id);
  }
}
