import type { AssetType } from '../assets.schema.js';
import { escapeHtml } from './escape-html.js';

export interface EmbeddedAsset {
  name: string;
  type: AssetType;
  contentType: string;
  /** Of the page itself: the links beside it carry the same, and it has no other credential. */
  query: string;
  hasThumbnail: boolean;
}

/**
 * What the page may do: show and play what this server serves, and run this server's viewers. It is sandboxed, so that it is of no origin
 * and reaches nothing of this one's; any page may hold it in a frame.
 */
export const EMBED_CONTENT_SECURITY_POLICY = [
  'sandbox allow-scripts',
  "default-src 'none'",
  // WebAssembly is what the decoders of compressed models are; text still never runs as a script.
  "script-src 'self' 'wasm-unsafe-eval'",
  // They run in workers whose scripts the viewer puts together.
  'worker-src blob:',
  "style-src 'self'",
  "img-src 'self' blob: data:",
  "media-src 'self'",
  "connect-src 'self' blob: data:",
  "base-uri 'none'",
  "form-action 'none'",
  'frame-ancestors *',
].join('; ');

const VIEWERS = '/api/v1/viewers';

/** The page that shows an asset: all that is not ours in it is text, escaped. */
export function embedPage(asset: EmbeddedAsset): string {
  const { name, type } = asset;
  const needsScript = type === '3d' || type === '360';
  return `<!doctype html>
<html lang="en"${needsScript ? '' : ' data-state="ready"'}>
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<title>${escapeHtml(name)}</title>
<link rel="stylesheet" href="${VIEWERS}/viewer.css" crossorigin>
${needsScript ? `<script type="module" src="${VIEWERS}/viewer.js" crossorigin></script>` : ''}
</head>
<body>${stage(asset)}</body>
</html>
`;
}

function stage({ name, type, contentType, query, hasThumbnail }: EmbeddedAsset): string {
  const title = escapeHtml(name);
  const content = escapeHtml(`content?${query}`);
  const thumbnail = escapeHtml(`thumbnail?${query}`);
  switch (type) {
    case 'image':
      return `<div id="stage"><img src="${content}" alt="${title}"></div>`;
    case 'voice':
    case 'sound':
      return `<div id="stage">${hasThumbnail ? `<img class="wave" src="${thumbnail}" alt="">` : ''}<audio controls preload="metadata" src="${content}" aria-label="${title}"></audio></div>`;
    case 'video':
      return `<div id="stage"><video controls playsinline preload="metadata"${hasThumbnail ? ` poster="${thumbnail}"` : ''} src="${content}" aria-label="${title}"></video></div>`;
    case '360':
    case '3d':
      return `<div id="stage" data-kind="${type}" data-type="${escapeHtml(contentType)}" data-src="${content}" aria-label="${title}"></div>`;
    case 'file':
      return `<div id="stage"><p><a href="${content}" download>${title}</a></p></div>`;
  }
}
