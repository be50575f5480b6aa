/** A 3D model that can be turned: lit, framed whole in any shape of frame, with its first animation playing. */
import * as THREE from 'three';
import { OrbitControls } from 'three/addons/controls/OrbitControls.js';
import { RoomEnvironment } from 'three/addons/environments/RoomEnvironment.js';
import { boundsOf } from './model-bounds.js';
import { loadModel } from './model-loaders.js';
import { fillStage, makeRenderer } from './renderer.js';
import { say, stage } from './stage.js';

const VIEW_FROM = new THREE.Vector3(0.55, 0.42, 0.8).normalize();
/** Of the frame's smaller angle, this much is left free around the model. */
const MARGIN = 1.06;

/** @throws Error where it cannot be read, has nothing in it, or the browser has no WebGL */
export async function showModel() {
  const renderer = makeRenderer();
  if (renderer === null) {
    throw new Error('the browser has no WebGL');
  }
  const { object, animations } = await loadModel(stage.dataset, renderer);
  const mixer = new THREE.AnimationMixer(object);
  const actions = animations.slice(0, 1).map((clip) => mixer.clipAction(clip).play());
  const bounds = boundsOf(object, actions.length === 0 ? null : { mixer, seconds: actions[0].getClip().duration });
  if (bounds === null) {
    throw new Error('the model is empty');
  }
  const scene = sceneOf(object, renderer);
  const camera = new THREE.PerspectiveCamera(45, 1);
  const controls = new OrbitControls(camera, renderer.domElement);
  controls.enableDamping = true;
  fillStage(renderer, camera, frame(bounds, camera, controls));
  const clock = new THREE.Timer();
  renderer.setAnimationLoop((time) => {
    clock.update(time);
    mixer.update(clock.getDelta());
    controls.update();
    renderer.render(scene, camera);
    stage.dataset.azimuth = controls.getAzimuthalAngle().toFixed(3);
    say('ready');
  });
}

function sceneOf(object, renderer) {
  const scene = new THREE.Scene();
  scene.background = new THREE.Color(0x2b2350);
  const light = new THREE.DirectionalLight(0xffffff, 2);
  light.position.set(2, 3, 4);
  scene.add(new THREE.HemisphereLight(0xffffff, 0x665577, 1.6), light, object);
  if (hasMetal(object)) {
    scene.environment = makeEnvironment(renderer);
    scene.environmentIntensity = 0.5;
  }
  return scene;
}

/** Metal shows what is around it, and is black where nothing is. To make something takes seconds without a graphics card. */
function hasMetal(object) {
  let isFound = false;
  object.traverse(({ material }) => {
    isFound ||= [material].flat().some((one) => one?.metalness > 0);
  });
  return isFound;
}

function makeEnvironment(renderer) {
  const generator = new THREE.PMREMGenerator(renderer);
  const room = new RoomEnvironment();
  const { texture } = generator.fromScene(room, 0.04);
  room.dispose();
  generator.dispose();
  return texture;
}

/**
 * Keeps the camera as far away as the whole bounding sphere needs in the narrower direction of the frame; a viewer's own zoom stays what
 * it is in proportion.
 */
function frame({ center, radius }, camera, controls) {
  controls.target.copy(center);
  let fitted = 0;
  return (aspect) => {
    const vertical = THREE.MathUtils.degToRad(camera.fov) / 2;
    const narrower = Math.min(vertical, Math.atan(Math.tan(vertical) * aspect));
    const distance = (MARGIN * radius) / Math.sin(narrower);
    const offset =
      fitted === 0
        ? VIEW_FROM.clone().multiplyScalar(distance)
        : camera.position
            .clone()
            .sub(center)
            .multiplyScalar(distance / fitted);
    camera.position.copy(center).add(offset);
    controls.minDistance = radius / 20;
    controls.maxDistance = distance * 10;
    camera.near = radius / 100;
    camera.far = distance * 10 + radius * 2;
    camera.lookAt(center);
    fitted = distance;
  };
}
