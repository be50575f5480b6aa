import type { ErrorPresenter } from '../../http/filters/error-presenter.js';
import { toNeocuError } from './neocu.mapper.js';

/** Words every error under `/v1`, those raised before any handler included. */
export const neocuErrors: ErrorPresenter = {
  owns: (path) => path === '/v1' || path.startsWith('/v1/'),
  present: (failure) => ({ contentType: 'application/json; charset=utf-8', body: toNeocuError(failure) }),
};
