/** The script of every embed page. It reads the kind of the asset from the page, and loads what shows that kind. */
import { say, showFallback, stage } from './stage.js';

const SHOW = {
  '3d': async () => (await import('./model.js')).showModel(),
  360: async () => (await import('./panorama.js')).showPanorama(),
  image: async () => (await import('./media.js')).watchImage(),
  player: async () => (await import('./media.js')).watchPlayer(),
};

const show = SHOW[stage.dataset.kind];
if (show === undefined) {
  say('ready');
} else {
  show().catch((error) => {
    console.warn('the asset cannot be shown:', error?.message ?? error);
    showFallback();
  });
}
