/** The script of the embed page, for panoramas and models: text, since it runs in a browser and not here. It knows its page's data only. */
export const VIEWER_SCRIPT = `
import * as THREE from './three.module.js';

const stage = document.getElementById('stage');
const { kind, src, type } = stage.dataset;
const say = (state) => { document.documentElement.dataset.state = state; };
const fail = (error) => {
  console.error('the viewer failed', error && error.message);
  stage.replaceChildren(Object.assign(document.createElement('p'), { textContent: 'This file cannot be shown here.' }));
  say('failed');
};

function makeRenderer() {
  const renderer = new THREE.WebGLRenderer({ antialias: true });
  renderer.setPixelRatio(Math.min(devicePixelRatio, 2));
  stage.append(renderer.domElement);
  return renderer;
}

function fit(renderer, camera) {
  const resize = () => {
    const width = stage.clientWidth || 1;
    const height = stage.clientHeight || 1;
    renderer.setSize(width, height);
    camera.aspect = width / height;
    camera.updateProjectionMatrix();
  };
  new ResizeObserver(resize).observe(stage);
  resize();
}

async function panorama() {
  const renderer = makeRenderer();
  const camera = new THREE.PerspectiveCamera(75, 1, 0.1, 100);
  const scene = new THREE.Scene();
  let texture;
  if (type.startsWith('video/')) {
    const video = Object.assign(document.createElement('video'), {
      src, crossOrigin: 'anonymous', loop: true, muted: true, playsInline: true,
    });
    const button = Object.assign(document.createElement('button'), { id: 'play', textContent: 'Play', type: 'button' });
    button.addEventListener('click', () => {
      video.muted = false;
      if (video.paused) video.play(); else video.pause();
      button.textContent = video.paused ? 'Play' : 'Pause';
    });
    stage.append(button);
    await new Promise((resolve, reject) => {
      video.addEventListener('loadeddata', resolve, { once: true });
      video.addEventListener('error', () => reject(new Error('no video')), { once: true });
      video.load();
    });
    texture = new THREE.VideoTexture(video);
  } else {
    texture = await new THREE.TextureLoader().loadAsync(src);
  }
  texture.colorSpace = THREE.SRGBColorSpace;
  const sphere = new THREE.Mesh(new THREE.SphereGeometry(10, 64, 40), new THREE.MeshBasicMaterial({ map: texture }));
  sphere.geometry.scale(-1, 1, 1);
  scene.add(sphere);
  let [longitude, latitude] = [0, 0];
  let grip = null;
  const show = () => {
    stage.dataset.longitude = longitude.toFixed(1);
    stage.dataset.latitude = latitude.toFixed(1);
  };
  const turn = (right, up) => {
    longitude = (longitude + right + 360) % 360;
    latitude = Math.max(-85, Math.min(85, latitude + up));
    show();
  };
  show();
  stage.addEventListener('pointerdown', (event) => {
    if (event.target === renderer.domElement) {
      grip = { x: event.clientX, y: event.clientY };
      stage.setPointerCapture(event.pointerId);
    }
  });
  stage.addEventListener('pointermove', (event) => {
    if (grip !== null) {
      const scale = camera.fov / stage.clientHeight;
      turn((grip.x - event.clientX) * scale, (event.clientY - grip.y) * scale);
      grip = { x: event.clientX, y: event.clientY };
    }
  });
  for (const name of ['pointerup', 'pointercancel']) stage.addEventListener(name, () => { grip = null; });
  stage.addEventListener('wheel', (event) => {
    event.preventDefault();
    camera.fov = Math.max(25, Math.min(95, camera.fov + event.deltaY * 0.05));
    camera.updateProjectionMatrix();
  }, { passive: false });
  addEventListener('keydown', ({ key }) => {
    const step = { ArrowLeft: [-5, 0], ArrowRight: [5, 0], ArrowUp: [0, 5], ArrowDown: [0, -5] }[key];
    if (step) turn(...step);
  });
  fit(renderer, camera);
  renderer.setAnimationLoop(() => {
    const phi = THREE.MathUtils.degToRad(90 - latitude);
    const theta = THREE.MathUtils.degToRad(longitude);
    camera.lookAt(Math.sin(phi) * Math.cos(theta), Math.cos(phi), Math.sin(phi) * Math.sin(theta));
    renderer.render(scene, camera);
    say('ready');
  });
}

/** Compressed models and textures: each decoder is fetched when a model first needs it. */
async function makeGltfLoader(renderer) {
  const [{ GLTFLoader }, { DRACOLoader }, { KTX2Loader }, { MeshoptDecoder }] = await Promise.all([
    import('./GLTFLoader.js'), import('./DRACOLoader.js'), import('./KTX2Loader.js'), import('./meshopt_decoder.module.js'),
  ]);
  const at = (name) => new URL(name, import.meta.url).href;
  const draco = new DRACOLoader().setDecoderPath({ js: at('draco_wasm_wrapper.js'), wasm: at('draco_decoder.wasm') });
  const textures = new KTX2Loader().setTranscoderPath(at('./')).detectSupport(renderer);
  return new GLTFLoader().setDRACOLoader(draco).setKTX2Loader(textures).setMeshoptDecoder(MeshoptDecoder);
}

async function load(renderer) {
  if (type === 'model/obj') {
    const { OBJLoader } = await import('./OBJLoader.js');
    return { object: await new OBJLoader().loadAsync(src), animations: [] };
  }
  if (type === 'model/stl') {
    const { STLLoader } = await import('./STLLoader.js');
    const geometry = await new STLLoader().loadAsync(src);
    return { object: new THREE.Mesh(geometry, new THREE.MeshStandardMaterial({ color: 0xb9b4cf })), animations: [] };
  }
  const { scene, animations } = await (await makeGltfLoader(renderer)).loadAsync(src);
  return { object: scene, animations };
}

async function model() {
  const { OrbitControls } = await import('./OrbitControls.js');
  const renderer = makeRenderer();
  const { object, animations } = await load(renderer);
  const scene = new THREE.Scene();
  scene.background = new THREE.Color(0x2b2350);
  scene.add(new THREE.HemisphereLight(0xffffff, 0x665577, 2.2));
  const light = new THREE.DirectionalLight(0xffffff, 2);
  light.position.set(2, 3, 4);
  scene.add(light, object);
  const box = new THREE.Box3().setFromObject(object);
  const middle = box.getCenter(new THREE.Vector3());
  const radius = Math.max(box.getSize(new THREE.Vector3()).length() / 2, 1e-6);
  const camera = new THREE.PerspectiveCamera(45, 1, radius / 100, radius * 100);
  camera.position.copy(middle).add(new THREE.Vector3(0.55, 0.42, 0.8).normalize().multiplyScalar(radius * 2.2));
  const controls = new OrbitControls(camera, renderer.domElement);
  controls.target.copy(middle);
  controls.enableDamping = true;
  const mixer = new THREE.AnimationMixer(object);
  if (animations.length > 0) mixer.clipAction(animations[0]).play();
  const clock = new THREE.Timer();
  fit(renderer, camera);
  renderer.setAnimationLoop((time) => {
    clock.update(time);
    mixer.update(clock.getDelta());
    controls.update();
    renderer.render(scene, camera);
    stage.dataset.azimuth = controls.getAzimuthalAngle().toFixed(3);
    say('ready');
  });
}

(kind === '3d' ? model() : panorama()).catch(fail);
`;

export const VIEWER_STYLE = `
html, body { margin: 0; height: 100%; background: #17181c; color: #e8e8ee; font: 15px system-ui, sans-serif; }
#stage { display: flex; flex-direction: column; align-items: center; justify-content: center; height: 100%; overflow: hidden; position: relative; touch-action: none; }
#stage img, #stage video { max-width: 100%; max-height: 100%; object-fit: contain; }
#stage canvas { display: block; cursor: grab; }
#stage canvas:active { cursor: grabbing; }
#stage .wave { min-height: 0; flex: 0 1 auto; }
#stage audio { width: min(92%, 560px); margin: 12px 0; flex: none; }
#stage a { color: #9fc9ff; }
#play { position: absolute; bottom: 12px; left: 12px; padding: 8px 16px; border: 0; border-radius: 6px; background: #ffffffdd; cursor: pointer; }
`;
