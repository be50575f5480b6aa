/** Real files of all six media, made here: small, free of anybody's rights, and each to be recognised when it is looked at. */
import { Document, WebIO } from '@gltf-transform/core';
import { BufferTarget, EncodedPacket, EncodedVideoPacketSource, Output, WebMOutputFormat } from 'mediabunny';
import sharp from 'sharp';

export interface Sample {
  type: 'voice' | 'image' | 'sound' | 'video' | '360' | '3d';
  name: string;
  contentType: string;
  bytes: Buffer;
}

export async function samples(): Promise<Sample[]> {
  return [
    { type: 'image', name: 'sunset.png', contentType: 'image/png', bytes: await picture(320, 200, 'png') },
    { type: '360', name: 'room.jpg', contentType: 'image/jpeg', bytes: await panorama() },
    { type: 'video', name: 'ball.webm', contentType: 'video/webm', bytes: await video() },
    { type: 'sound', name: 'chord.wav', contentType: 'audio/wav', bytes: wave(1.5, chord) },
    { type: 'voice', name: 'hello.wav', contentType: 'audio/wav', bytes: wave(1.2, vowels) },
    { type: '3d', name: 'ring.glb', contentType: 'model/gltf-binary', bytes: await ring() },
  ];
}

export async function picture(width: number, height: number, format: 'png' | 'jpeg' | 'webp' | 'gif'): Promise<Buffer> {
  const svg = `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}"><defs><linearGradient id="g" x2="0" y2="1"><stop stop-color="#20306b"/><stop offset="1" stop-color="#f08a4b"/></linearGradient></defs><rect width="100%" height="100%" fill="url(#g)"/><circle cx="50%" cy="70%" r="${height / 5}" fill="#ffe9a8"/></svg>`;
  return sharp(Buffer.from(svg)).toFormat(format).toBuffer();
}

/** An equirectangular picture: a grid of the sphere, each quarter in a colour of its own. */
export async function panorama(width = 1024): Promise<Buffer> {
  const height = width / 2;
  const pixels = Buffer.alloc(width * height * 3);
  const colours = [
    [200, 80, 80],
    [80, 160, 90],
    [80, 110, 200],
    [200, 170, 70],
  ];
  for (let y = 0; y < height; y += 1) {
    for (let x = 0; x < width; x += 1) {
      const isLine = x % (width / 16) < 3 || y % (height / 8) < 3;
      const colour = isLine ? [255, 255, 255] : (colours[Math.floor((x * 4) / width)] ?? []);
      const light = 0.5 + 0.5 * (1 - y / height);
      pixels.set(
        colour.map((value) => value * light),
        (y * width + x) * 3,
      );
    }
  }
  return sharp(pixels, { raw: { width, height, channels: 3 } })
    .jpeg()
    .toBuffer();
}

/**
 * A WebM that browsers play, without an encoder of video: a lossy WebP without alpha is one key frame of VP8, so pictures written as WebP
 * are a video of key frames.
 */
export async function video(frames = 24, frameRate = 12): Promise<Buffer> {
  const output = new Output({ format: new WebMOutputFormat(), target: new BufferTarget() });
  const source = new EncodedVideoPacketSource('vp8');
  output.addVideoTrack(source, { frameRate });
  await output.start();
  for (let index = 0; index < frames; index += 1) {
    const at = 40 + (index * 240) / frames;
    const svg = `<svg xmlns="http://www.w3.org/2000/svg" width="320" height="180"><rect width="320" height="180" fill="#1d2b3a"/><circle cx="${at}" cy="${90 - 50 * Math.abs(Math.sin(index / 3))}" r="22" fill="#ff7043"/></svg>`;
    const webp = await sharp(Buffer.from(svg)).flatten().webp({ quality: 70 }).toBuffer();
    const packet = new EncodedPacket(new Uint8Array(vp8Of(webp)), 'key', index / frameRate, 1 / frameRate);
    await source.add(packet, { decoderConfig: { codec: 'vp8', codedWidth: 320, codedHeight: 180 } });
  }
  await output.finalize();
  return Buffer.from(output.target.buffer ?? new ArrayBuffer(0));
}

export function vp8Of(webp: Buffer): Buffer {
  for (let at = 12; at + 8 <= webp.length;) {
    const length = webp.readUInt32LE(at + 4);
    if (webp.toString('latin1', at, at + 4) === 'VP8 ') {
      return webp.subarray(at + 8, at + 8 + length);
    }
    at += 8 + length + (length % 2);
  }
  throw new Error('this WebP holds no key frame of VP8');
}

/** 16 bits, mono, 16 kHz. */
export function wave(seconds: number, sampleAt: (second: number) => number, rate = 16_000): Buffer {
  const count = Math.round(seconds * rate);
  const bytes = Buffer.alloc(44 + count * 2);
  bytes.write('RIFF', 0);
  bytes.writeUInt32LE(36 + count * 2, 4);
  bytes.write('WAVEfmt ', 8);
  [16, 0x00010001].forEach((value, index) => bytes.writeUInt32LE(value, 16 + index * 4));
  bytes.writeUInt32LE(rate, 24);
  bytes.writeUInt32LE(rate * 2, 28);
  bytes.writeUInt32LE(0x00100002, 32);
  bytes.write('data', 36);
  bytes.writeUInt32LE(count * 2, 40);
  for (let index = 0; index < count; index += 1) {
    bytes.writeInt16LE(Math.round(32_000 * Math.max(-1, Math.min(1, sampleAt(index / rate)))), 44 + index * 2);
  }
  return bytes;
}

function chord(second: number): number {
  return (
    [220, 277.2, 329.6].reduce((sum, hertz) => sum + Math.sin(2 * Math.PI * hertz * second), 0) *
    0.3 *
    Math.exp(-2 * second)
  );
}

/** A voice as simple as can be: a buzz through three formants, as /a/, /e/, /o/ with pauses between. */
function vowels(second: number): number {
  const formants = [
    [730, 1090, 2440],
    [530, 1840, 2480],
    [570, 840, 2410],
  ][Math.floor(second / 0.4) % 3] ?? [500, 1500, 2500];
  const within = (second % 0.4) / 0.3;
  const loudness = within < 1 ? Math.sin(Math.PI * within) : 0;
  let sum = 0;
  for (let harmonic = 1; harmonic <= 24; harmonic += 1) {
    const hertz = 120 * harmonic;
    const gain = formants.reduce((most, formant) => Math.max(most, Math.exp(-(((hertz - formant) / 160) ** 2))), 0.04);
    sum += (gain / harmonic ** 0.5) * Math.sin(2 * Math.PI * hertz * second);
  }
  return loudness * 0.35 * sum;
}

/** A ring with a cube in it, in two materials. */
export async function ring(): Promise<Buffer> {
  const document = new Document();
  const buffer = document.createBuffer();
  const scene = document.createScene();
  const [around, across] = [48, 20];
  const positions: number[] = [];
  const normals: number[] = [];
  const indices: number[] = [];
  for (let i = 0; i <= around; i += 1) {
    for (let j = 0; j <= across; j += 1) {
      const [u, v] = [(i / around) * 2 * Math.PI, (j / across) * 2 * Math.PI];
      positions.push((1 + 0.3 * Math.cos(v)) * Math.cos(u), 0.3 * Math.sin(v), (1 + 0.3 * Math.cos(v)) * Math.sin(u));
      normals.push(Math.cos(v) * Math.cos(u), Math.sin(v), Math.cos(v) * Math.sin(u));
      if (i < around && j < across) {
        const at = i * (across + 1) + j;
        indices.push(at, at + 1, at + across + 1, at + 1, at + across + 2, at + across + 1);
      }
    }
  }
  const part = (position: number[], index: number[], colour: [number, number, number, number], normal?: number[]) => {
    const primitive = document
      .createPrimitive()
      .setAttribute(
        'POSITION',
        document.createAccessor().setType('VEC3').setArray(new Float32Array(position)).setBuffer(buffer),
      )
      .setIndices(document.createAccessor().setType('SCALAR').setArray(new Uint16Array(index)).setBuffer(buffer))
      .setMaterial(document.createMaterial().setBaseColorFactor(colour).setRoughnessFactor(0.5).setMetallicFactor(0));
    if (normal !== undefined) {
      primitive.setAttribute(
        'NORMAL',
        document.createAccessor().setType('VEC3').setArray(new Float32Array(normal)).setBuffer(buffer),
      );
    }
    scene.addChild(document.createNode().setMesh(document.createMesh().addPrimitive(primitive)));
  };
  part(positions, indices, [0.9, 0.25, 0.12, 1], normals);
  const corners = [0, 1, 2, 3, 4, 5, 6, 7].flatMap((n) =>
    [(n & 1) - 0.5, ((n >> 1) & 1) - 0.5, ((n >> 2) & 1) - 0.5].map((c) => c * 0.8),
  );
  part(
    corners,
    [0, 2, 1, 1, 2, 3, 4, 5, 6, 5, 7, 6, 0, 1, 4, 1, 5, 4, 2, 6, 3, 3, 6, 7, 0, 4, 2, 2, 4, 6, 1, 3, 5, 3, 7, 5],
    [0.15, 0.5, 0.85, 1],
  );
  return Buffer.from(await new WebIO().writeBinary(document));
}
