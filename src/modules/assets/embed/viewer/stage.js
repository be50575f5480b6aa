/** The element that the viewers fill, the state of the page, and what the page shows where the browser cannot show the asset. */

/** `data-kind`, `data-type` (the content type) and `data-src` (the URL of the bytes) say what it is for. */
export const stage = document.getElementById('stage');

/** @param {'ready' | 'fallback'} state for whoever embeds or tests the page */
export function say(state) {
  document.documentElement.dataset.state = state;
}

/** Replaces what is on the stage with the thumbnail, if there is one, and a link to download the file. */
export function showFallback() {
  const template = document.getElementById('fallback');
  stage.replaceChildren(template.content.cloneNode(true));
  // The thumbnail may be gone, or its link expired: then the link to the file stands alone.
  const image = stage.querySelector('img');
  image?.addEventListener('error', () => image.remove(), { once: true });
  say('fallback');
}
