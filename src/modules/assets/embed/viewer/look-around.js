/** Turning in a panorama: by dragging, arrow keys and the wheel, within what the panorama covers. */
import * as THREE from 'three';
import { stage } from './stage.js';

/** Degrees along the longer side of the frame, so that no shape of frame stretches the edges. */
const SPAN = 90;
const MIN_SPAN = 20;
const MAX_SPAN = 120;
const MAX_LATITUDE = 85;

const { clamp, degToRad, radToDeg } = THREE.MathUtils;
/** From an angle in degrees to what a flat picture of it measures at distance 1, from the middle to the edge; and back. */
const extentOf = (degrees) => Math.tan(degToRad(degrees) / 2);
const angleOf = (extent) => radToDeg(2 * Math.atan(extent));

/**
 * @param {HTMLElement} canvas
 * @param {THREE.PerspectiveCamera} camera
 * @param {import('./coverage.js').Coverage} coverage
 * @returns {{ fit: (aspect: number) => void, aim: () => void }} to be called when the frame changes, and before each picture
 */
export function lookAround(canvas, camera, { left, width, top, height }) {
  let longitude = left + width / 2;
  let latitude = top - height / 2;
  let span = SPAN;
  let aspect = 1;

  /** Zooms out no further than the panorama reaches. */
  function largestSpan() {
    const [across, down] = aspect >= 1 ? [1, 1 / aspect] : [aspect, 1];
    const limits = [MAX_SPAN];
    if (width < 180) limits.push(angleOf(extentOf(width) / across));
    if (height < 180) limits.push(angleOf(extentOf(height) / down));
    return Math.min(...limits);
  }

  function settle() {
    const most = largestSpan();
    span = clamp(span, Math.min(MIN_SPAN, most), most);
    const extent = extentOf(span);
    camera.fov = angleOf(aspect >= 1 ? extent / aspect : extent);
    const across = angleOf(aspect >= 1 ? extent : extent * aspect);
    const bottom = top - height;
    longitude =
      width >= 360 ? (longitude + 720) % 360 : between(longitude, left + across / 2, left + width - across / 2);
    // A pole is no edge: nothing ends there.
    latitude = between(
      latitude,
      bottom < -89.9 ? -MAX_LATITUDE : bottom + camera.fov / 2,
      top > 89.9 ? MAX_LATITUDE : top - camera.fov / 2,
    );
    camera.updateProjectionMatrix();
    stage.dataset.longitude = longitude.toFixed(1);
    stage.dataset.latitude = latitude.toFixed(1);
    stage.dataset.fov = camera.fov.toFixed(1);
  }

  function turn(right, up) {
    longitude += right;
    latitude += up;
    settle();
  }

  listen(canvas, {
    drag: (x, y) => turn((-x * camera.fov) / stage.clientHeight, (y * camera.fov) / stage.clientHeight),
    step: turn,
    zoom: (degrees) => {
      span += degrees;
      settle();
    },
  });

  return {
    fit: (now) => {
      aspect = now;
      settle();
    },
    aim: () => {
      const [lat, lon] = [degToRad(latitude), degToRad(longitude)];
      camera.lookAt(-Math.cos(lon) * Math.cos(lat), Math.sin(lat), -Math.sin(lon) * Math.cos(lat));
    },
  };
}

/** The value, or the nearest that is allowed; the middle where the view is larger than what it shows. */
function between(value, low, high) {
  return low > high ? (low + high) / 2 : clamp(value, low, high);
}

function listen(canvas, { drag, step, zoom }) {
  let grip = null;
  canvas.addEventListener('pointerdown', (event) => {
    grip = { x: event.clientX, y: event.clientY };
    canvas.setPointerCapture(event.pointerId);
  });
  canvas.addEventListener('pointermove', (event) => {
    if (grip !== null) {
      drag(event.clientX - grip.x, event.clientY - grip.y);
      grip = { x: event.clientX, y: event.clientY };
    }
  });
  for (const name of ['pointerup', 'pointercancel']) {
    canvas.addEventListener(name, () => {
      grip = null;
    });
  }
  canvas.addEventListener(
    'wheel',
    (event) => {
      event.preventDefault();
      zoom(event.deltaY * 0.05);
    },
    { passive: false },
  );
  addEventListener('keydown', ({ key }) => {
    const [right, up] = { ArrowLeft: [-5, 0], ArrowRight: [5, 0], ArrowUp: [0, 5], ArrowDown: [0, -5] }[key] ?? [0, 0];
    if (right !== 0 || up !== 0) {
      step(right, up);
    }
  });
}
