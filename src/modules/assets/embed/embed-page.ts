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
 * What the page may do: show and play what this server serves, run this server's viewers, and download the file by a link that a person
 * follows. It is sandboxed, so that it has no origin and cannot reach this server's.
 *
 * Any page may hold it in a frame. That is said by leaving `frame-ancestors` out: its `*` matches only schemes of the network, and would
 * keep out pages from `file:` and those of desktop programs.
 */
export const EMBED_CONTENT_SECURITY_POLICY = [
  'sandbox allow-scripts allow-downloads',
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
].join('; ');

const VIEWERS = '/api/v1/viewers';

/**
 * Pictures that every browser draws. Of the others (HEIC, TIFF, raw formats of cameras) the page shows the thumbnail, or the file itself in
 * a browser that says it can.
 */
const DRAWN_BY_BROWSERS: ReadonlySet<string> = new Set([
  'image/png',
  'image/apng',
  'image/jpeg',
  'image/gif',
  'image/webp',
  'image/avif',
  'image/bmp',
  'image/svg+xml',
  'image/x-icon',
  'image/vnd.microsoft.icon',
]);

/** The page that shows an asset. All of the asset's own texts in it are escaped. */
export function embedPage(asset: EmbeddedAsset): string {
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<title>${escapeHtml(asset.name)}</title>
<link rel="stylesheet" href="${VIEWERS}/viewer.css" crossorigin>
<script type="module" src="${VIEWERS}/viewer.js" crossorigin></script>
</head>
<body>${stage(asset)}<template id="fallback">${figure(asset, '', 'This file cannot be shown here.')}</template></body>
</html>
`;
}

function stage(asset: EmbeddedAsset): string {
  const { name, type, contentType, hasThumbnail } = asset;
  const { content, thumbnail } = linksOf(asset);
  const title = escapeHtml(name);
  switch (type) {
    case 'image':
      return DRAWN_BY_BROWSERS.has(contentType)
        ? `<div id="stage" data-kind="image"><img src="${content}" alt="${title}"></div>`
        : `<div id="stage" data-kind="image">${figure(asset, `<source srcset="${content}" type="${escapeHtml(contentType)}">`)}</div>`;
    case 'voice':
    case 'sound':
      return `<div id="stage" data-kind="player">${hasThumbnail ? `<img class="wave" src="${thumbnail}" alt="">` : ''}<audio controls preload="metadata" src="${content}" aria-label="${title}"></audio></div>`;
    case 'video':
      return `<div id="stage" data-kind="player"><video controls playsinline preload="metadata"${hasThumbnail ? ` poster="${thumbnail}"` : ''} src="${content}" aria-label="${title}"></video></div>`;
    case '360':
    case '3d':
      return `<div id="stage" data-kind="${type}" data-type="${escapeHtml(contentType)}" data-src="${content}" role="img" aria-label="${title}"></div>`;
    case 'file':
      return `<div id="stage">${figure(asset)}</div>`;
  }
}

/** The thumbnail, if there is one, and a link to download the file. @param source tried before the thumbnail */
function figure(asset: EmbeddedAsset, source = '', reason = ''): string {
  const { thumbnail, download } = linksOf(asset);
  const name = escapeHtml(asset.name);
  const picture = `<picture>${source}<img src="${thumbnail}" alt="${name}"></picture>`;
  const text = reason === '' ? '' : `<p>${reason}</p>`;
  return `<figure class="fallback">${asset.hasThumbnail ? picture : ''}<figcaption>${text}<a href="${download}" download>Download ${name}</a></figcaption></figure>`;
}

function linksOf({ query }: EmbeddedAsset): { content: string; thumbnail: string; download: string } {
  return {
    content: escapeHtml(`content?${query}`),
    thumbnail: escapeHtml(`thumbnail?${query}`),
    download: escapeHtml(`content?${query}&download=true`),
  };
}
