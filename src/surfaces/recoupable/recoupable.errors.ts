import type { ErrorPresenter } from '../../http/filters/error-presenter.js';
import { toRecoupableError } from './recoupable.mapper.js';

/** Words every error under `/api/tasks`, those raised before any handler included. */
export const recoupableErrors: ErrorPresenter = {
  owns: (path) => path === '/api/tasks' || path.startsWith('/api/tasks/'),
  present: (failure, { path }) => ({
    contentType: 'application/json; charset=utf-8',
    body: toRecoupableError(failure, path === '/api/tasks/runs' || path.startsWith('/api/tasks/runs/')),
  }),
};
