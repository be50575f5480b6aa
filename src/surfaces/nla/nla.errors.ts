import type { ErrorPresenter } from '../../http/filters/error-presenter.js';
import { toNlaError } from './nla.mapper.js';

/** Words every error under `/api/v1/task` (not `/api/v1/tasks`), those raised before any handler included. */
export const nlaErrors: ErrorPresenter = {
  owns: (path) => path === '/api/v1/task' || path.startsWith('/api/v1/task/'),
  present: (failure) => ({ contentType: 'application/json; charset=utf-8', body: toNlaError(failure) }),
};
