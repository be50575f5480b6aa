/** A 360° picture or video: the viewer stands in the middle of the sphere and first looks at the middle of what is covered. */
import * as THREE from 'three';
import { coverageOf, halvesAlike } from './coverage.js';
import { lookAround } from './look-around.js';
import { drawn, watchPlayer } from './media.js';
import { fillStage, makeRenderer } from './renderer.js';
import { readPictureSphere, readVideoSphere } from './sphere-metadata.js';
import { say, stage } from './stage.js';

const RADIUS = 10;
const { src, type } = stage.dataset;

/** @throws Error where the browser cannot decode it */
export async function showPanorama() {
  const source = await (type.startsWith('video/') ? openVideo() : openPicture());
  const coverage = coverageOf(source, source.metadata);
  const renderer = coverage === null ? null : makeRenderer();
  if (renderer === null) {
    // Another projection, or no WebGL: as it is, flat.
    await source.showFlat();
    return;
  }
  const camera = new THREE.PerspectiveCamera(75, 1, 0.1, 100);
  const scene = new THREE.Scene();
  scene.add(sphereOf(texture(source, coverage.eye), coverage));
  const view = lookAround(renderer.domElement, camera, coverage);
  fillStage(renderer, camera, view.fit);
  stage.append(...source.controls);
  renderer.setAnimationLoop(() => {
    view.aim();
    renderer.render(scene, camera);
    say('ready');
  });
}

/** Seen from inside: mirrored, so that right is right. */
function sphereOf(map, { left, width, top, height }) {
  const radians = THREE.MathUtils.degToRad;
  const geometry = new THREE.SphereGeometry(
    RADIUS,
    Math.max(8, Math.ceil(width / 4)),
    Math.max(8, Math.ceil(height / 4)),
    // Three.js begins opposite of where longitude 0 is put here.
    radians(180 + left),
    radians(width),
    radians(90 - top),
    radians(height),
  );
  geometry.scale(-1, 1, 1);
  return new THREE.Mesh(geometry, new THREE.MeshBasicMaterial({ map, side: THREE.DoubleSide }));
}

function texture({ texture: map, width, height }, eye) {
  map.colorSpace = THREE.SRGBColorSpace;
  if (eye.width < 1 || eye.height < 1) {
    // Half a pixel less, and no smaller copies: at the border they would mix in the other eye.
    const [insetX, insetY] = [0.5 / width, 0.5 / height];
    map.generateMipmaps = false;
    map.minFilter = THREE.LinearFilter;
    map.repeat.set(eye.width - 2 * insetX, eye.height - 2 * insetY);
    map.offset.set(eye.x + insetX, 1 - eye.y - eye.height + insetY);
  }
  return map;
}

async function openPicture() {
  const reply = await fetch(src);
  if (!reply.ok) {
    throw new Error(`the picture was answered with ${reply.status}`);
  }
  const blob = await reply.blob();
  const image = Object.assign(new Image(), { src: URL.createObjectURL(blob), alt: stage.ariaLabel ?? '' });
  await drawn(image);
  const map = new THREE.Texture(image);
  map.needsUpdate = true;
  return {
    width: image.naturalWidth,
    height: image.naturalHeight,
    isVideo: false,
    halvesAlike: () => halvesAlike(image),
    metadata: await readPictureSphere(blob),
    texture: map,
    controls: [],
    showFlat: async () => {
      stage.replaceChildren(image);
      say('ready');
    },
  };
}

async function openVideo() {
  const video = Object.assign(document.createElement('video'), {
    src,
    crossOrigin: 'anonymous',
    loop: true,
    muted: true,
    playsInline: true,
    preload: 'auto',
  });
  const loaded = new Promise((resolve, reject) => {
    video.addEventListener('loadeddata', resolve, { once: true });
    video.addEventListener('error', () => reject(new Error('the browser cannot play this video')), { once: true });
  });
  const [metadata] = await Promise.all([readVideoSphere(src, type), loaded]);
  if (video.videoWidth === 0) {
    throw new Error('the browser cannot decode the pictures of this video');
  }
  const map = new THREE.VideoTexture(video);
  // The first frame is there already, and tells of itself no more.
  map.needsUpdate = true;
  return {
    width: video.videoWidth,
    height: video.videoHeight,
    isVideo: true,
    halvesAlike: () => halvesAlike(video),
    metadata,
    texture: map,
    controls: [playButton(video)],
    showFlat: async () => {
      stage.replaceChildren(Object.assign(video, { controls: true, muted: false }));
      await watchPlayer();
    },
  };
}

function playButton(video) {
  const button = Object.assign(document.createElement('button'), { id: 'play', textContent: 'Play', type: 'button' });
  button.addEventListener('click', () => {
    video.muted = false;
    if (video.paused) {
      video.play().catch(() => undefined);
    } else {
      video.pause();
    }
  });
  for (const name of ['play', 'pause']) {
    video.addEventListener(name, () => {
      button.textContent = video.paused ? 'Play' : 'Pause';
    });
  }
  return button;
}
