import { Injectable } from '@nestjs/common';
import type { Actor } from '../../../access/index.js';
import { resolveRunConfig } from '../../agents/index.js';
import { SchedulesService } from '../../schedules/index.js';
import { StreamLinks } from '../../streams/index.js';
import { toNeoStatus } from '../surfaces/neo.vocabulary.js';
import type { StoredDetail, StoredListItem, StoredTask } from './tasks.query.js';
import type { TaskDetail, TaskItem, TaskShown } from './task-view.schema.js';

/** What is stored of a task as its surface shows it: the page's names, links signed for the reader, fire times. No I/O. */
@Injectable()
export class TaskPresenter {
  constructor(
    private readonly schedules: SchedulesService,
    private readonly links: StreamLinks,
  ) {}

  /** The links are the actor's own: each use has the rights the actor has by then. */
  detail(actor: Actor, stored: StoredDetail): TaskDetail {
    const { stream, task } = stored;
    const idle = {
      agentId: task.agent_id,
      agentDefault: stored.agent_default,
      task: task.run_config,
      taskModel: task.model,
    };
    return {
      messages: stored.messages,
      task: this.#task(task),
      read_only: stored.read_only,
      stream: {
        hasStream: stream !== null,
        last_seq: stream?.last_seq ?? 0,
        run_config: stream?.run_config ?? resolveRunConfig(idle),
        streamId: stream?.id ?? null,
        streamStatus: stream === null ? null : toNeoStatus(stream.status),
      },
      streamUrls: stored.streams.map(({ id, status }) => {
        const { url, expires_at } = this.links.streamUrl(actor, id);
        return { streamId: id, url, status: toNeoStatus(status), expires_at };
      }),
      streams: stored.streams.map(({ id, status, created_at, completed_at, run_config }) => ({
        created_at,
        status: toNeoStatus(status),
        stream_id: id,
        completed_at,
        run_config,
      })),
      messages_total: stored.messages_total,
      streams_total: stored.streams_total,
    };
  }

  item(stored: StoredListItem): TaskItem {
    const { task, prompt_truncated, read_only } = stored;
    return { ...this.#task(task), prompt_truncated, read_only };
  }

  #task(stored: StoredTask): TaskShown {
    const { schedule, ...task } = stored;
    return {
      ...task,
      is_scheduled: schedule !== null,
      schedule_info: schedule === null ? null : this.schedules.info(schedule),
    };
  }
}
