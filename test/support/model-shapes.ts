/** 3D models in which what is shown can be told from pixels: bright bodies before a dark ground. */
import { Document, WebIO } from '@gltf-transform/core';

interface Ball {
  radius?: number;
  center?: readonly [number, number, number];
}

interface Mesh {
  positions: number[];
  indices: number[];
}

function ball({ radius = 1, center = [0, 0, 0] }: Ball): Mesh {
  const [around, across] = [48, 24];
  const mesh: Mesh = { positions: [], indices: [] };
  for (let i = 0; i <= across; i += 1) {
    for (let j = 0; j < around; j += 1) {
      const [v, u] = [(i / across) * Math.PI, (j / around) * 2 * Math.PI];
      const unit = [Math.sin(v) * Math.cos(u), Math.cos(v), Math.sin(v) * Math.sin(u)];
      mesh.positions.push(...unit.map((value, axis) => (center[axis] ?? 0) + radius * value));
      if (i < across) {
        const [a, b] = [i * around + j, i * around + ((j + 1) % around)];
        mesh.indices.push(a, b, a + around, b, b + around, a + around);
      }
    }
  }
  return mesh;
}

export function objBall(shape: Ball = {}): Buffer {
  const { positions, indices } = ball(shape);
  return objOf(positions, indices);
}

/** @param indices from 0, three a face */
export function objOf(positions: readonly number[], indices: readonly number[]): Buffer {
  const triples = (numbers: readonly number[]): string[] =>
    Array.from({ length: numbers.length / 3 }, (_, at) => numbers.slice(at * 3, at * 3 + 3).join(' '));
  return Buffer.from(
    [
      ...triples(positions).map((line) => `v ${line}`),
      ...triples(indices.map((index) => index + 1)).map((line) => `f ${line}`),
      '',
    ].join('\n'),
  );
}

/** Without a material, which by the specification is metal. @param travel the ball goes so far to the right and back, in ten seconds */
export async function glbBall(shape: Ball = {}, travel = 0): Promise<Buffer> {
  const { positions, indices } = ball(shape);
  const document = new Document();
  const buffer = document.createBuffer();
  const accessor = (type: 'SCALAR' | 'VEC3', array: Float32Array | Uint16Array) =>
    document.createAccessor().setType(type).setArray(array).setBuffer(buffer);
  const normals = positions.map((value, at) => (value - (shape.center?.[at % 3] ?? 0)) / (shape.radius ?? 1));
  const primitive = document
    .createPrimitive()
    .setAttribute('POSITION', accessor('VEC3', new Float32Array(positions)))
    .setAttribute('NORMAL', accessor('VEC3', new Float32Array(normals)))
    .setIndices(accessor('SCALAR', new Uint16Array(indices)));
  const node = document.createNode().setMesh(document.createMesh().addPrimitive(primitive));
  document.createScene().addChild(node);
  if (travel !== 0) {
    const sampler = document
      .createAnimationSampler()
      .setInput(accessor('SCALAR', new Float32Array([0, 5, 10])))
      .setOutput(accessor('VEC3', new Float32Array([0, 0, 0, travel, 0, 0, 0, 0, 0])));
    const channel = document
      .createAnimationChannel()
      .setTargetNode(node)
      .setTargetPath('translation')
      .setSampler(sampler);
    document.createAnimation().addSampler(sampler).addChannel(channel);
  }
  return Buffer.from(await new WebIO().writeBinary(document));
}
