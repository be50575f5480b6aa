/** The sphere in which a model lies. */
import * as THREE from 'three';

/** Vertices of an animated model that are looked at, over all moments: each may follow four bones. */
const MAX_ANIMATED_VERTICES = 400_000;
const MOMENTS = 8;

/**
 * @param {THREE.Object3D} object
 * @param {{ mixer: THREE.AnimationMixer, seconds: number } | null} animation whose moments all lie in the sphere
 * @returns {{ center: THREE.Vector3, radius: number } | null} null where there is nothing to see
 */
export function boundsOf(object, animation) {
  const moments =
    animation === null ? [0] : Array.from({ length: MOMENTS }, (_, at) => (at * animation.seconds) / MOMENTS);
  const step = animation === null ? 1 : Math.ceil((verticesOf(object) * MOMENTS) / MAX_ANIMATED_VERTICES);
  const eachPoint = (visit) => {
    for (const moment of moments) {
      animation?.mixer.setTime(moment);
      object.updateMatrixWorld(true);
      object.traverseVisible((node) => visitPoints(node, step, visit));
    }
    animation?.mixer.setTime(0);
  };
  const box = new THREE.Box3();
  eachPoint((point) => box.expandByPoint(point));
  if (box.isEmpty()) {
    return null;
  }
  const center = box.getCenter(new THREE.Vector3());
  let squared = 0;
  eachPoint((point) => {
    squared = Math.max(squared, center.distanceToSquared(point));
  });
  // A single point has no extent, but must be seen from somewhere.
  const smallest = Math.max(center.length() * 1e-6, 1e-6);
  return { center, radius: Math.max(Math.sqrt(squared), smallest) };
}

function verticesOf(object) {
  let count = 0;
  object.traverseVisible((node) => {
    count += node.geometry?.attributes.position?.count ?? 0;
  });
  return count;
}

const point = new THREE.Vector3();
const corners = new THREE.Box3();

/** Calls back with each vertex of one node, in the world; those that are no numbers are left out. */
function visitPoints(node, step, visit) {
  const position = node.geometry?.attributes.position;
  if (position === undefined) {
    return;
  }
  const visitInWorld = () => {
    point.applyMatrix4(node.matrixWorld);
    if (Number.isFinite(point.x + point.y + point.z)) {
      visit(point);
    }
  };
  if (node.isInstancedMesh) {
    node.computeBoundingBox();
    corners.copy(node.boundingBox);
    for (let corner = 0; corner < 8; corner += 1) {
      const pick = (bit) => ((corner >> bit) & 1 ? corners.max : corners.min);
      point.set(pick(0).x, pick(1).y, pick(2).z);
      visitInWorld();
    }
    return;
  }
  for (let index = 0; index < position.count; index += step) {
    if (node.isMesh) {
      node.getVertexPosition(index, point);
    } else {
      point.fromBufferAttribute(position, index);
    }
    visitInWorld();
  }
}
