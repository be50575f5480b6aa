export interface BannerInput {
  /** Base of every link, without a trailing slash. */
  url: string;
  isFirstStart: boolean;
  /** The key made by this start; null where the operator chose it, or on a later start. */
  key: string | null;
}

/**
 * What a person at the terminal reads once the server answers. The key is printed here and nowhere else, once; it never reaches the
 * log.
 */
export function banner({ url, isFirstStart, key }: BannerInput): string {
  const places = ['', `  Taskyard answers at ${url}`, `  Documentation       ${url}/docs`];
  if (!isFirstStart) {
    return [...places, '', ''].join('\n');
  }
  const shown = key ?? '$BOOTSTRAP_API_KEY';
  const about = key === null ? 'the one you set as BOOTSTRAP_API_KEY' : `${key}   (shown this once: keep it)`;
  return [
    ...places,
    `  Your API key        ${about}`,
    '',
    '  Run a first task:',
    '',
    `  curl -s ${url}/api/v1/tasks -H 'content-type: application/json' -H "api-key: ${shown}" \\`,
    `    -d '{"agent": "digest", "prompt": "Tasks are queued. Workers claim them under a lease. Every event is kept."}'`,
    '',
    '',
  ].join('\n');
}
