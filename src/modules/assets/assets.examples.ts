/** What the document shows of an asset, and of how one is sent. */
const EXAMPLE_LINK =
  'http://localhost:3000/api/v1/assets/0198f0a0-0000-7000-8000-000000000004/content?expires=1767225600&issuer=0198c0de-0000-7000-8000-000000000002&organization=0198c0de-0000-7000-8000-000000000001&key=1&signature=uT3pXk0v9Qw';
export const ASSET_EXAMPLE = {
  id: '0198f0a0-0000-7000-8000-000000000004',
  task_id: '0198f0a0-0000-7000-8000-000000000001',
  run_id: '0198f0a0-0000-7000-8000-000000000002',
  name: 'keywords.png',
  type: 'image',
  content_type: 'image/png',
  size: 48213,
  sha256: '9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08',
  status: 'ready',
  url: EXAMPLE_LINK,
  thumbnail: EXAMPLE_LINK.replace('/content', '/thumbnail'),
  embed: `<iframe src="${EXAMPLE_LINK.replace('/content', '/embed').replaceAll('&', '&amp;')}" title="keywords.png" width="640" height="400"></iframe>`,
  metadata: { width: 1200, height: 630 },
  error: null,
  created_at: '2026-01-31T09:00:02.000Z',
};

export const UPLOAD_EXAMPLE = {
  method: 'PUT',
  url: EXAMPLE_LINK,
  headers: { 'content-type': 'image/png' },
  expires_at: '2026-01-31T09:15:02.000Z',
};
