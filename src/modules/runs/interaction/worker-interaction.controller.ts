import { Body, Controller, HttpCode, Param, Post } from '@nestjs/common';
import { ApiBearerAuth, ApiOperation, ApiSecurity, ApiTags } from '@nestjs/swagger';
import { type Actor, Requires } from '../../../access/index.js';
import { BodyLimit } from '../../../http/decorators/body-limit.js';
import { CurrentActor } from '../../../http/decorators/current-actor.js';
import { ApiProblemResponses, ApiZodResponse } from '../../../http/decorators/api-zod-response.js';
import { idParam } from '../../../http/openapi/schemas.js';
import { ChildrenService } from '../children/children.service.js';
import { ASKED_EXAMPLE, STARTED_CHILDREN_EXAMPLE } from './interaction.examples.js';
import {
  askReplySchema,
  askSchema,
  childrenReplySchema,
  childrenSchema,
  type AskInput,
  type AskReply,
  type ChildrenInput,
  type ChildrenReply,
} from './interaction.schema.js';
import { QuestionsService } from './questions.service.js';

/** How a worker lets its run wait, and what for. */
@ApiTags('Workers')
@ApiBearerAuth('bearer')
@ApiSecurity('x-api-key')
@Controller('api/v1/worker/runs/:id')
export class WorkerInteractionController {
  constructor(
    private readonly questions: QuestionsService,
    private readonly children: ChildrenService,
  ) {}

  @Post('ask')
  @HttpCode(200)
  @Requires('worker:act')
  @ApiOperation({
    operationId: 'workerWaitsAsk',
    summary: 'Ask a question',
    description:
      'The lease ends. Once there is an answer, a claim gives the run out again, with the answer in `resume`.',
  })
  @ApiZodResponse(200, askReplySchema, {
    description: 'Asked; the same request again gets this again.',
    example: ASKED_EXAMPLE,
  })
  @ApiProblemResponses(
    'invalid-request',
    'unauthenticated',
    'forbidden',
    'lease-lost',
    'asking-not-allowed',
    'conflict',
  )
  ask(
    @CurrentActor() actor: Actor,
    @Param('id', { schema: idParam }) id: string,
    @Body({ schema: askSchema }) input: AskInput,
  ): Promise<AskReply> {
    return this.questions.ask(actor, id, input);
  }

  @Post('children')
  @HttpCode(200)
  @BodyLimit('large')
  @Requires('worker:act')
  @ApiOperation({
    operationId: 'workerWaitsStart',
    summary: 'Create child runs',
    description:
      'With `wait` the lease ends; once the last child has ended, a claim gives the run out again, with what became of each in `resume`.',
  })
  @ApiZodResponse(200, childrenReplySchema, {
    description: 'Started, all of them; the same request again gets this again.',
    example: STARTED_CHILDREN_EXAMPLE,
  })
  @ApiProblemResponses(
    'invalid-request',
    'payload-too-large',
    'unauthenticated',
    'forbidden',
    'not-found',
    'lease-lost',
    'batch-mismatch',
    'conflict',
    'budget-exceeded',
  )
  start(
    @CurrentActor() actor: Actor,
    @Param('id', { schema: idParam }) id: string,
    @Body({ schema: childrenSchema }) input: ChildrenInput,
  ): Promise<ChildrenReply> {
    return this.children.start(actor, id, input);
  }
}
