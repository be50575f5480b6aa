/** Pictures that are drawn: cards that say what a file is, and waves of sound. */
import { createRequire } from 'node:module';
import type { SKRSContext2D } from '@napi-rs/canvas';
import sharp, { type Sharp } from 'sharp';

const WIDTH = 640;
const HEIGHT = 400;
const FONT = 'Taskyard card';

const COLOURS: Readonly<Record<string, readonly [string, string]>> = {
  sound: ['#12324a', '#1d7a8c'],
  model: ['#2b2350', '#6a4fb3'],
  video: ['#3a1d2e', '#a1445f'],
  image: ['#1f3b2c', '#4c8a5c'],
};

/** A card with what the file is and what it is called, for what no picture could be made of. */
export async function card(kind: string, label: string, name: string): Promise<Sharp> {
  const { pen, finish } = await paper(kind);
  pen.textAlign = 'center';
  pen.fillStyle = '#ffffff';
  pen.font = `600 56px "${FONT}"`;
  pen.fillText(drawable(label), WIDTH / 2, 200, WIDTH - 60);
  pen.font = `400 26px "${FONT}"`;
  pen.fillStyle = 'rgba(255,255,255,0.8)';
  pen.fillText(shortened(drawable(name)), WIDTH / 2, 260, WIDTH - 60);
  return finish();
}

/** The wave of a sound: for each bar the loudest sample of its part, from 0 to 1. */
export async function wave(peaks: readonly number[], seconds: number, name: string): Promise<Sharp> {
  const { pen, finish } = await paper('sound');
  const step = (WIDTH - 60) / peaks.length;
  pen.fillStyle = '#d7f3f7';
  peaks.forEach((peak, index) => {
    const height = Math.max(3, Math.min(1, peak) * 230);
    pen.fillRect(30 + index * step, 180 - height / 2, Math.max(1, step - 1.5), height);
  });
  pen.fillStyle = 'rgba(255,255,255,0.85)';
  pen.font = `400 24px "${FONT}"`;
  pen.textAlign = 'left';
  pen.fillText(shortened(drawable(name), 34), 30, 360, WIDTH - 180);
  pen.textAlign = 'right';
  pen.fillText(clockTime(seconds), WIDTH - 30, 360);
  return finish();
}

async function paper(kind: string): Promise<{ pen: SKRSContext2D; finish: () => Sharp }> {
  const { createCanvas, GlobalFonts } = await import('@napi-rs/canvas');
  if (!GlobalFonts.has(FONT)) {
    const path = createRequire(import.meta.url).resolve(
      '@fontsource-variable/inter/files/inter-latin-wght-normal.woff2',
    );
    GlobalFonts.registerFromPath(path, FONT);
  }
  const canvas = createCanvas(WIDTH, HEIGHT);
  const pen = canvas.getContext('2d');
  const [from, to] = COLOURS[kind] ?? ['#2c2f36', '#5a6170'];
  const ground = pen.createLinearGradient(0, 0, WIDTH, HEIGHT);
  ground.addColorStop(0, from);
  ground.addColorStop(1, to);
  pen.fillStyle = ground;
  pen.fillRect(0, 0, WIDTH, HEIGHT);
  return { pen, finish: () => sharp(canvas.toBuffer('image/png')) };
}

/** What the one font here can draw: better missing than a box. */
function drawable(text: string): string {
  return text
    .normalize('NFC')
    .replace(/[^\u0020-\u007e\u00a0-\u024f\u2013-\u2026]/g, ' ')
    .replace(/\s+/g, ' ')
    .trim();
}

function shortened(text: string, most = 40): string {
  return text.length <= most ? text : `${text.slice(0, most - 1)}…`;
}

function clockTime(seconds: number): string {
  const whole = Math.floor(seconds);
  const [hours, minutes] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60];
  const padded = (value: number): string => String(value).padStart(2, '0');
  return hours > 0 ? `${hours}:${padded(minutes)}:${padded(whole % 60)}` : `${minutes}:${padded(whole % 60)}`;
}
