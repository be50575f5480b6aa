import { type Document, WebIO } from '@gltf-transform/core';
import { ALL_EXTENSIONS } from '@gltf-transform/extensions';

const RATIFIED = 'KHR_meshopt_compression';

/**
 * A model of what is inside the file; a buffer or texture elsewhere is not fetched. Compressed meshes are decoded, textures are not.
 * @throws Error for what is no glTF, or needs an extension that is not known
 */
export async function readGltf(bytes: Buffer, contentType: string): Promise<Document> {
  const binary = withKnownNames(contentType === 'model/gltf-binary' ? bytes : binaryOf(bytes));
  const io = new WebIO().registerExtensions(ALL_EXTENSIONS).registerDependencies(await decodersFor(binary));
  io.setLogger({ debug: nothing, info: nothing, warn: nothing, error: nothing });
  return io.readBinary(new Uint8Array(binary));
}

function jsonOf(binary: Buffer): Buffer {
  return binary.length < 20 ? binary : binary.subarray(20, 20 + binary.readUInt32LE(12));
}

/** Made only where the text of the model names the extension, since each takes its time and memory. */
async function decodersFor(binary: Buffer): Promise<Record<string, unknown>> {
  const json = jsonOf(binary);
  const decoders: Record<string, unknown> = {};
  if (json.includes('KHR_draco_mesh_compression')) {
    const { default: draco } = await import('draco3dgltf');
    decoders['draco3d.decoder'] = await draco.createDecoderModule();
  }
  if (json.includes('meshopt_compression')) {
    const { MeshoptDecoder } = await import('meshoptimizer');
    await MeshoptDecoder.ready;
    decoders['meshopt.decoder'] = MeshoptDecoder;
  }
  return decoders;
}

/** The ratified name of the meshopt extension is as long as the older one, which the library knows, and means the same. */
function withKnownNames(binary: Buffer): Buffer {
  const json = jsonOf(binary);
  for (let at = json.indexOf(RATIFIED); at !== -1; at = json.indexOf(RATIFIED, at + RATIFIED.length)) {
    json.write('EXT', at, 'latin1');
  }
  return binary;
}

/** The JSON form as the binary one, which is a head and the same JSON. */
function binaryOf(json: Buffer): Buffer {
  const padding = (4 - (json.length % 4)) % 4;
  const head = Buffer.alloc(20);
  head.write('glTF', 0, 'latin1');
  head.writeUInt32LE(2, 4);
  head.writeUInt32LE(20 + json.length + padding, 8);
  head.writeUInt32LE(json.length + padding, 12);
  head.write('JSON', 16, 'latin1');
  return Buffer.concat([head, json, Buffer.alloc(padding, ' ')]);
}

function nothing(): void {
  // What the library would say to a console is said by its errors too.
}
