/** From our words to Neocu's; the only file that knows both. Pure. */
import type { Failure } from '../../http/failure.js';
import type { AssetLinkSet } from '../../modules/assets/index.js';
import type { ShownAsset, ShownTask, ShownTaskPage } from '../../modules/tasks/index.js';
import type { NeocuAsset, NeocuItem, NeocuPage, NeocuPageQuery, NeocuSingle, NeocuStatus } from './neocu.schema.js';

export type LinkAsset = (asset: ShownAsset) => AssetLinkSet;

const MOST_MESSAGES = 50;

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
} as const satisfies Record<ShownTask['status'], NeocuStatus>;

const ASSET_STATUS = {
  pending: 'generating',
  uploading: 'generating',
  processing: 'generating',
  ready: 'completed',
  failed: 'failed',
} as const satisfies Record<ShownAsset['status'], NeocuStatus>;

export function toNeocuPage(
  { total, tasks }: ShownTaskPage,
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

export function toNeocuSingle(task: ShownTask, link: LinkAsset): NeocuSingle {
  return { isSuccess: true, ...toItem(task, link) };
}

/** Every 5xx is the page's one sentence; a client may compare it letter by letter. */
export function toNeocuError({ status, detail }: Failure): { error: string } {
  return { error: status >= 500 ? 'System Error. Please try again' : detail };
}

function toItem(task: ShownTask, link: LinkAsset): NeocuItem {
  const { id, status, created_at, log_lines, error_message, assets } = task;
  const message = error_message === null ? log_lines : [...log_lines, error_message].slice(-MOST_MESSAGES);
  return {
    task: { _id: id, status: TASK_STATUS[status], message, date: created_at },
    asset: assets.map((asset) => toAsset(asset, link(asset))),
  };
}

function toAsset({ id, name, type, status }: ShownAsset, { url, thumbnail, embed }: AssetLinkSet): NeocuAsset {
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
