/** A WebGL canvas that fills the stage. */
import * as THREE from 'three';
import { stage } from './stage.js';

/** Null where the browser has no WebGL. */
export function makeRenderer() {
  try {
    const renderer = new THREE.WebGLRenderer({ antialias: true });
    renderer.setPixelRatio(Math.min(devicePixelRatio, 2));
    return renderer;
  } catch {
    return null;
  }
}

/** Puts the canvas on the stage and keeps it at the stage's size. @param onSize called at once and at every change, with width / height */
export function fillStage(renderer, camera, onSize) {
  stage.append(renderer.domElement);
  const resize = () => {
    const width = stage.clientWidth || 1;
    const height = stage.clientHeight || 1;
    renderer.setSize(width, height);
    camera.aspect = width / height;
    onSize(camera.aspect);
    camera.updateProjectionMatrix();
  };
  new ResizeObserver(resize).observe(stage);
  resize();
}
