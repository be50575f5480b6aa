import { Controller, Get, Param, Query, applyDecorators } from '@nestjs/common';
import { ApiOperation, ApiSecurity, ApiTags } from '@nestjs/swagger';
import { type Actor, Requires } from '../../access/index.js';
import { CurrentActor } from '../../http/decorators/current-actor.js';
import { AnyQuery } from '../../http/guards/declared-input.guard.js';
import { ApiZodResponse } from '../../http/decorators/api-zod-response.js';
import { idParam } from '../../http/openapi/schemas.js';
import { AssetLinks } from '../../modules/assets/index.js';
import { TaskSummariesService } from '../../modules/tasks/index.js';
import { type LinkAsset, toNeocuPage, toNeocuSingle } from './neocu.mapper.js';
import {
  NEOCU_EXAMPLES,
  type NeocuPage,
  type NeocuPageQuery,
  type NeocuSingle,
  neocuErrorSchema,
  neocuPageQuery,
  neocuPageSchema,
  neocuSingleSchema,
} from './neocu.schema.js';

const AccessDeniedRecorder = (): MethodDecorator =>
  applyDecorators(
    ApiZodResponse(401, neocuErrorSchema, {
      description: 'No valid key.',
      example: { error: 'Send one valid credential.' },
    }),
    ApiZodResponse(403, neocuErrorSchema, {
      description: 'The key may not read tasks.',
      example: { error: 'Your role does not allow this.' },
    }),
    ApiZodResponse(429, neocuErrorSchema, {
      description: 'Too many requests.',
      example: { error: 'Too many requests.' },
    }),
    ApiZodResponse(500, neocuErrorSchema, { description: 'Every 5xx.', example: NEOCU_EXAMPLES.systemError }),
  );

@ApiTags('Neocu')
@ApiSecurity('bearer')
@ApiSecurity('x-api-key')
@ApiSecurity('apikey')
@ApiSecurity('api-key')
@Controller('v1/task')
@AnyQuery()
export class NeocuController {
  constructor(
    private readonly tasks: TaskSummariesService,
    private readonly links: AssetLinks,
  ) {}

  @Get()
  @Requires('task:read')
  @ApiOperation({
    summary: 'List tasks that have been run, newest first',
    description: 'Returns a page of the tasks that you can read and that have run at least once.',
  })
  @ApiZodResponse(200, neocuPageSchema, {
    description: 'A page; past the end an empty one.',
    example: NEOCU_EXAMPLES.page,
  })
  @ApiZodResponse(400, neocuErrorSchema, {
    description: '`page` or `limit` is no whole number from 1.',
    example: { error: '?page: must be a whole number from 1 to 999999999' },
  })
  @AccessDeniedRecorder()
  async list(
    @CurrentActor() actor: Actor,
    @Query({ schema: neocuPageQuery }) query: NeocuPageQuery,
  ): Promise<NeocuPage> {
    return toNeocuPage(await this.tasks.page(actor, query), query, this.#linkFor(actor));
  }

  @Get(':id')
  @Requires('task:read')
  @ApiOperation({ summary: 'Get a task that has been run', description: 'Returns one task with its result.' })
  @ApiZodResponse(200, neocuSingleSchema, { description: 'The task.', example: NEOCU_EXAMPLES.single })
  @ApiZodResponse(404, neocuErrorSchema, {
    description: 'No such task, or not one you may read.',
    example: NEOCU_EXAMPLES.error,
  })
  @AccessDeniedRecorder()
  async get(@CurrentActor() actor: Actor, @Param('id', { schema: idParam }) id: string): Promise<NeocuSingle> {
    return toNeocuSingle(await this.tasks.get(actor, id), this.#linkFor(actor));
  }

  #linkFor(actor: Actor): LinkAsset {
    return (asset) => this.links.of(actor, asset);
  }
}
