/** Models as tools compress them: each shows the ring of `media.ts`. */
import { type Document, WebIO } from '@gltf-transform/core';
import {
  ALL_EXTENSIONS,
  EXTMeshoptCompression,
  EXTTextureWebP,
  KHRDracoMeshCompression,
  KHRMeshQuantization,
  KHRTextureBasisu,
} from '@gltf-transform/extensions';
import draco3d from 'draco3dgltf';
import { createDefaultContainer, KHR_DF_MODEL_UASTC, write } from 'ktx-parse';
import { MeshoptEncoder } from 'meshoptimizer';
import sharp from 'sharp';
import { ring } from './media.js';

export const COMPRESSIONS = ['draco', 'meshopt', 'meshopt (ratified)', 'quantized', 'webp', 'ktx2'] as const;

export async function compressedModel(compression: (typeof COMPRESSIONS)[number]): Promise<Buffer> {
  const io = new WebIO().registerExtensions(ALL_EXTENSIONS);
  const document = await io.readBinary(new Uint8Array(await ring()));
  switch (compression) {
    case 'draco':
      io.registerDependencies({ 'draco3d.encoder': await draco3d.createEncoderModule() });
      document.createExtension(KHRDracoMeshCompression).setRequired(true);
      break;
    case 'meshopt':
    case 'meshopt (ratified)':
      await MeshoptEncoder.ready;
      io.registerDependencies({ 'meshopt.encoder': MeshoptEncoder });
      document.createExtension(EXTMeshoptCompression).setRequired(true);
      break;
    case 'quantized':
      quantize(document);
      break;
    case 'webp':
      document.createExtension(EXTTextureWebP).setRequired(true);
      texture(document, 'image/webp', await sharp(ORANGE).webp().toBuffer());
      break;
    case 'ktx2':
      document.createExtension(KHRTextureBasisu).setRequired(true);
      texture(document, 'image/ktx2', ktx2());
      break;
  }
  const bytes = Buffer.from(await io.writeBinary(document));
  return compression === 'meshopt (ratified)'
    ? Buffer.from(bytes.toString('latin1').replaceAll('EXT_meshopt_compression', 'KHR_meshopt_compression'), 'latin1')
    : bytes;
}

const ORANGE = { create: { width: 4, height: 4, channels: 3, background: '#ff7043' } } as const;

function texture(document: Document, mimeType: string, image: Uint8Array): void {
  const buffer = document.getRoot().listBuffers()[0] ?? null;
  for (const mesh of document.getRoot().listMeshes()) {
    for (const primitive of mesh.listPrimitives()) {
      const count = primitive.getAttribute('POSITION')?.getCount() ?? 0;
      const coordinates = document
        .createAccessor()
        .setType('VEC2')
        .setArray(new Float32Array(count * 2))
        .setBuffer(buffer);
      primitive.setAttribute('TEXCOORD_0', coordinates);
      primitive.getMaterial()?.setBaseColorTexture(document.createTexture().setMimeType(mimeType).setImage(image));
    }
  }
}

/** Positions as 16 bits of a box from -2 to 2, which the nodes scale back. */
function quantize(document: Document): void {
  document.createExtension(KHRMeshQuantization).setRequired(true);
  for (const node of document.getRoot().listNodes()) {
    node.setScale([2, 2, 2]);
    for (const primitive of node.getMesh()?.listPrimitives() ?? []) {
      const position = primitive.getAttribute('POSITION');
      const values = new Int16Array((position?.getCount() ?? 0) * 3);
      const point: number[] = [];
      for (let index = 0; index * 3 < values.length; index += 1) {
        values.set(
          position?.getElement(index, point).map((value) => Math.round((value / 2) * 32_767)) ?? [],
          index * 3,
        );
      }
      position?.setArray(values).setNormalized(true);
    }
  }
}

/** One block of UASTC in one color: five bits of the mode, eight for each of red, green, blue and alpha. */
function ktx2(): Uint8Array {
  // Bits are counted from the lowest of the first byte.
  const [mode, red, green, blue, alpha] = [0x17n, 0xffn, 0x70n, 0x43n, 0xffn];
  const bits = mode | (red << 5n) | (green << 13n) | (blue << 21n) | (alpha << 29n);
  const block = Buffer.alloc(16);
  block.writeBigUInt64LE(bits);
  const container = createDefaultContainer();
  container.pixelWidth = 4;
  container.pixelHeight = 4;
  container.levelCount = 1;
  container.levels = [{ levelData: block, uncompressedByteLength: 16 }];
  const [descriptor] = container.dataFormatDescriptor;
  Object.assign(descriptor ?? {}, {
    colorModel: KHR_DF_MODEL_UASTC,
    texelBlockDimension: [3, 3, 0, 0],
    bytesPlane: [16, 0, 0, 0, 0, 0, 0, 0],
    samples: [
      {
        bitOffset: 0,
        bitLength: 127,
        channelType: 0,
        samplePosition: [0, 0, 0, 0],
        sampleLower: 0,
        sampleUpper: 0xffffffff,
      },
    ],
  });
  return write(container);
}
