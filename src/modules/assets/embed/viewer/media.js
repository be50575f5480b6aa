/** Pictures, sound and video, which the browser shows by itself. Where it cannot, the page's fallback takes their place. */
import { say, showFallback, stage } from './stage.js';

/** A picture is on the page already, or, of a type that browsers rarely draw, its thumbnail and a link. */
export async function watchImage() {
  const image = stage.querySelector('img');
  const isThumbnail = stage.querySelector('.fallback') !== null;
  if (image !== null) {
    await drawn(image);
  }
  say(isThumbnail ? 'fallback' : 'ready');
}

/** Fulfilled once the picture is there. @throws Error where it cannot be drawn */
export async function drawn(image) {
  if (!image.complete) {
    await new Promise((resolve) => {
      for (const name of ['load', 'error']) {
        image.addEventListener(name, resolve, { once: true });
      }
    });
  }
  if (image.naturalWidth === 0) {
    throw new Error('the browser cannot draw this picture');
  }
}

/** A player of sound or video is on the page already. */
export async function watchPlayer() {
  const player = stage.querySelector('audio, video');
  if (player.error !== null) {
    showFallback();
    return;
  }
  player.addEventListener('error', showFallback, { once: true });
  if (player.localName === 'video') {
    onceLoaded(player, () => {
      if (player.videoWidth === 0) {
        keepSoundOnly(player);
      }
    });
  }
  say('ready');
}

/** Browsers play the sound of a video whose pictures they cannot decode, beside a black frame and without an error. */
function keepSoundOnly(player) {
  player.removeEventListener('error', showFallback);
  const sound = Object.assign(document.createElement('audio'), { controls: true, preload: 'metadata' });
  sound.src = player.currentSrc;
  showFallback();
  sound.addEventListener('error', () => sound.remove(), { once: true });
  stage.append(sound);
}

export function onceLoaded(player, then) {
  if (player.readyState >= HTMLMediaElement.HAVE_METADATA) {
    then();
  } else {
    player.addEventListener('loadedmetadata', then, { once: true });
  }
}
