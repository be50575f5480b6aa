/** Reads a model of any format that the viewer knows. Each loader is fetched only for its own format. */
import * as THREE from 'three';

/** Pixels of a point: of few, so that they can be seen, and of a cloud. */
const POINT_PIXELS = 6;
const CLOUD_POINT_PIXELS = 2;
const CLOUD_POINTS = 5_000;

/**
 * @param {{ src: string, type: string }} file its URL and content type
 * @param {THREE.WebGLRenderer} renderer what textures can be drawn depends on it
 * @returns {Promise<{ object: THREE.Object3D, animations: THREE.AnimationClip[] }>}
 * @throws Error for another format, and for what cannot be read
 */
export async function loadModel({ src, type }, renderer) {
  const load = LOADERS[type];
  if (load === undefined) {
    throw new Error(`the viewer does not know ${type}`);
  }
  const model = await load(src, renderer);
  model.object.traverse(enlargePoints);
  return model;
}

const LOADERS = {
  'model/obj': loadObj,
  'model/stl': loadStl,
  'model/gltf-binary': loadGltf,
  'model/gltf+json': loadGltf,
};

async function loadObj(src) {
  const { OBJLoader } = await import('three/addons/loaders/OBJLoader.js');
  const object = await new OBJLoader().loadAsync(src);
  // Which way a face turns means nothing in the format, and programs do not agree on it.
  object.traverse(({ material }) => {
    for (const one of [material].flat()) {
      one?.setValues({ side: THREE.DoubleSide });
    }
  });
  return { object, animations: [] };
}

async function loadStl(src) {
  const { STLLoader } = await import('three/addons/loaders/STLLoader.js');
  const geometry = await new STLLoader().loadAsync(src);
  const material = new THREE.MeshStandardMaterial({
    color: geometry.hasAttribute('color') ? 0xffffff : 0xb9b4cf,
    vertexColors: geometry.hasAttribute('color'),
    side: THREE.DoubleSide,
  });
  return { object: new THREE.Mesh(geometry, material), animations: [] };
}

async function loadGltf(src, renderer) {
  const { scene, animations } = await (await makeGltfLoader(renderer)).loadAsync(src);
  return { object: scene, animations };
}

/** The decoders of compressed meshes and textures fetch their WebAssembly when a model first needs them. */
async function makeGltfLoader(renderer) {
  const [{ GLTFLoader }, { DRACOLoader }, { KTX2Loader }, { MeshoptDecoder }] = await Promise.all([
    import('three/addons/loaders/GLTFLoader.js'),
    import('three/addons/loaders/DRACOLoader.js'),
    import('three/addons/loaders/KTX2Loader.js'),
    import('three/addons/libs/meshopt_decoder.module.js'),
  ]);
  const at = (name) => new URL(name, import.meta.url).href;
  const draco = new DRACOLoader().setDecoderPath({ js: at('draco_wasm_wrapper.js'), wasm: at('draco_decoder.wasm') });
  const textures = new KTX2Loader().setTranscoderPath(at('./')).detectSupport(renderer);
  return new GLTFLoader().setDRACOLoader(draco).setKTX2Loader(textures).setMeshoptDecoder(MeshoptDecoder);
}

function enlargePoints(node) {
  if (node.isPoints && !node.material.sizeAttenuation) {
    const pixels = node.geometry.attributes.position.count > CLOUD_POINTS ? CLOUD_POINT_PIXELS : POINT_PIXELS;
    node.material.size = Math.max(node.material.size, pixels);
  }
}
