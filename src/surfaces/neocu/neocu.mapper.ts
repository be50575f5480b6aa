/** From our words to Neocu's; the only file that knows both. Pure. */
import type { Failure } from '../../http/filters/failure.js';
import type { AssetLinkSet } from '../../modules/assets/index.js';
import type { SummaryAsset, TaskSummary, TaskSummaryPage } from '../../modules/tasks/index.js';
import type { NeocuAsset, NeocuItem, NeocuPage, NeocuPageQuery, NeocuSingle, NeocuStatus } from './neocu.schema.js';

export type LinkAsset = (asset: SummaryAsset) => AssetLinkSet;

const MAX_MESSAGES = 50;

const TASK_STATUS = {
  delayed: 'generating',
  queued: 'generating',
  running: 'generating',
  waiting: 'generating',
  completed: 'completed',
  failed: 'failed',
  timed_out: 'failed',
  expired: 'failed',
  canceled: 'failed',
} as const satisfies Record<TaskSummary['status'], NeocuStatus>;

const ASSET_STATUS = {
  pending: 'generating',
  uploading: 'generating',
  processing: 'generating',
  ready: 'completed',
  failed: 'failed',
} as const satisfies Record<SummaryAsset['status'], NeocuStatus>;

export function toNeocuPage(
  { total, tasks }: TaskSummaryPage,
  { page, limit }: NeocuPageQuery,
  link: LinkAsset,
): NeocuPage {
  return {
    isSuccess: true,
    taskList: tasks.map((task) => toItem(task, link)),
    totalPages: Math.ceil(total / limit),
    currentPage: page,
    totalTasks: total,
  };
}

export function toNeocuSingle(task: TaskSummary, link: LinkAsset): NeocuSingle {
  return { isSuccess: true, ...toItem(task, link) };
}

/** Every 5xx is the page's one sentence; a client may compare it letter by letter. */
export function toNeocuError({ status, detail }: Failure): { error: string } {
  return { error: status >= 500 ? 'System Error. Please try again' : detail };
}

function toItem(task: TaskSummary, link: LinkAsset): NeocuItem {
  const { id, status, created_at, log_lines, error_message, assets } = task;
  const message = error_message === null ? log_lines : [...log_lines, error_message].slice(-MAX_MESSAGES);
  return {
    task: { _id: id, status: TASK_STATUS[status], message, date: created_at },
    asset: assets.map((asset) => toAsset(asset, link(asset))),
  };
}

function toAsset({ id, name, type, status }: SummaryAsset, { url, thumbnail, embed }: AssetLinkSet): NeocuAsset {
  return {
    url: url ?? '',
    thumbnail: thumbnail ?? '',
    embed: embed ?? '',
    name,
    type,
    status: ASSET_STATUS[status],
    _id: id,
  };
}
