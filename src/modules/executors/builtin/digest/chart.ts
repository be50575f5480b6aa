import type { SKRSContext2D } from '@napi-rs/canvas';
import { loadChartFonts, type ChartFonts } from './chart-fonts.js';
import { onOneLine } from './clean-text.js';
import { plural, readingTime } from './digest.message.js';
import type { DigestOutput } from './digest.schema.js';
import { languageName } from './languages.js';
import type { TimeSlices } from './time-slices.js';

export const CHART_WIDTH = 1200;
export const CHART_HEIGHT = 675;

export interface ChartInput {
  title: string;
  output: DigestOutput;
  /** From 0 to 1 for each sentence of the text, in order. */
  importance: Float64Array;
  /** Positions in `importance` of the chosen sentences. */
  chosen: readonly number[];
}

const MARGIN = 56;
const RIGHT = CHART_WIDTH - MARGIN;
const COLORS = {
  paper: '#ffffff',
  ink: '#0f172a',
  soft: '#64748b',
  faint: '#e2e8f0',
  tile: '#f1f5f9',
  bar: '#0d9488',
  barEnd: '#2dd4bf',
  dot: '#ea580c',
};

const KEYWORDS_TOP = 172;
const KEYWORDS_SHOWN = 9;
const KEYWORD_ROW = 31;
const LABEL_WIDTH = 216;
const BARS_LEFT = MARGIN + LABEL_WIDTH + 16;
const BARS_RIGHT = 744;

const TILES_LEFT = 808;
const TILE_GAP = 12;
const TILE_WIDTH = (RIGHT - TILES_LEFT - TILE_GAP) / 2;
const TILE_HEIGHT = 85;

const CURVE_TOP = 520;
const CURVE_BOTTOM = 616;
/** More points than this are not told apart at this width. */
const CURVE_POINTS_LIMIT = 160;

/**
 * Draws the digest as a PNG of 1200 × 675: keywords, counts, and how important the sentences are from the start of the text to
 * its end. The same digest gives the same picture on every machine; the canvas library is loaded on first use.
 */
export async function drawChart(input: ChartInput, slices: TimeSlices): Promise<Uint8Array> {
  const { createCanvas, GlobalFonts } = await import('@napi-rs/canvas');
  const fonts = await loadChartFonts(GlobalFonts);
  const canvas = createCanvas(CHART_WIDTH, CHART_HEIGHT);
  const pen = new Pen(canvas.getContext('2d'), fonts);
  await slices.next();
  drawHeader(pen, input);
  await slices.next();
  await drawKeywords(pen, input.output, slices);
  drawTiles(pen, input.output);
  await slices.next();
  drawCurve(pen, input);
  await slices.next();
  return canvas.encode('png');
}

interface TextStyle {
  size: number;
  color: string;
  weight?: 400 | 600 | 700;
  align?: 'left' | 'right';
  width?: number;
}

/** Text and shapes with the fonts that each text needs. `y` of a text is its baseline. */
class Pen {
  constructor(
    readonly context: SKRSContext2D,
    private readonly fonts: ChartFonts,
  ) {}

  /** Draws a line of text, shortened with an ellipsis to `width`, and returns the width it took. */
  text(text: string, x: number, y: number, style: TextStyle): number {
    const drawable = this.fonts.drawable(onOneLine(text));
    const { context } = this;
    context.font = `${style.weight ?? 400} ${style.size}px ${this.fonts.familiesFor(`${drawable}…`)}`;
    context.fillStyle = style.color;
    context.textAlign = style.align ?? 'left';
    context.textBaseline = 'alphabetic';
    const fitted = this.fit(drawable, style.width ?? Infinity);
    context.fillText(fitted, x, y);
    return context.measureText(fitted).width;
  }

  rectangle(
    x: number,
    y: number,
    width: number,
    height: number,
    radius: number,
    fill: SKRSContext2D['fillStyle'],
  ): void {
    this.context.fillStyle = fill;
    this.context.beginPath();
    this.context.roundRect(x, y, width, height, radius);
    this.context.fill();
  }

  private fit(text: string, width: number): string {
    if (this.context.measureText(text).width <= width) return text;
    const characters = Array.from(
      new Intl.Segmenter('en', { granularity: 'grapheme' }).segment(text),
      ({ segment }) => segment,
    );
    let fits = 0;
    let fails = characters.length;
    while (fails - fits > 1) {
      const middle = Math.floor((fits + fails) / 2);
      const isFitting = this.context.measureText(`${characters.slice(0, middle).join('')}…`).width <= width;
      if (isFitting) fits = middle;
      else fails = middle;
    }
    return `${characters.slice(0, fits).join('').trimEnd()}…`;
  }
}

function drawHeader(pen: Pen, { title, output }: ChartInput): void {
  pen.context.fillStyle = COLORS.paper;
  pen.context.fillRect(0, 0, CHART_WIDTH, CHART_HEIGHT);
  pen.rectangle(MARGIN, 50, 6, 68, 3, COLORS.bar);
  pen.text(title, MARGIN + 24, 82, { size: 34, weight: 700, color: COLORS.ink, width: RIGHT - MARGIN - 24 });
  const facts = [
    languageName(output.language),
    plural(output.counts.words, 'word'),
    `${readingTime(output.reading_time_seconds)} to read`,
  ];
  pen.text(facts.join('  ·  '), MARGIN + 24, 114, { size: 18, color: COLORS.soft });
}

async function drawKeywords(pen: Pen, { keywords }: DigestOutput, slices: TimeSlices): Promise<void> {
  heading(pen, 'Keywords', 'by weight, with occurrences', MARGIN, KEYWORDS_TOP - 18);
  const shown = keywords.slice(0, KEYWORDS_SHOWN);
  if (shown.length === 0)
    pen.text('No keywords in this text.', MARGIN, KEYWORDS_TOP + 22, { size: 16, color: COLORS.soft });
  for (const [row, { term, score, count }] of shown.entries()) {
    const top = KEYWORDS_TOP + row * KEYWORD_ROW;
    const baseline = top + 20;
    const labelled = pen.text(term, MARGIN + LABEL_WIDTH, baseline, {
      size: 16,
      color: COLORS.ink,
      align: 'right',
      width: LABEL_WIDTH,
    });
    // No font here draws it: the rank at least tells where to look in the output.
    if (labelled === 0)
      pen.text(`keyword ${row + 1}`, MARGIN + LABEL_WIDTH, baseline, { size: 16, color: COLORS.soft, align: 'right' });
    const width = Math.max(6, (BARS_RIGHT - 48 - BARS_LEFT) * score);
    const gradient = pen.context.createLinearGradient(BARS_LEFT, 0, BARS_RIGHT, 0);
    gradient.addColorStop(0, COLORS.bar);
    gradient.addColorStop(1, COLORS.barEnd);
    pen.rectangle(BARS_LEFT, top + 5, width, KEYWORD_ROW - 11, 4, gradient);
    pen.text(count.toLocaleString('en'), BARS_LEFT + width + 8, baseline, {
      size: 14,
      weight: 600,
      color: COLORS.soft,
    });
    if (slices.isOver()) await slices.next();
  }
}

function drawTiles(pen: Pen, { counts, reading_time_seconds: seconds, readability }: DigestOutput): void {
  heading(pen, 'At a glance', '', TILES_LEFT, KEYWORDS_TOP - 18);
  const tiles: [string, string][] = [
    [counts.words.toLocaleString('en'), 'words'],
    [counts.sentences.toLocaleString('en'), 'sentences'],
    [readingTime(seconds), 'to read'],
    [counts.unique_words.toLocaleString('en'), 'different words'],
    [counts.headings.toLocaleString('en'), counts.headings === 1 ? 'heading' : 'headings'],
    readability === null
      ? [counts.links.toLocaleString('en'), counts.links === 1 ? 'link' : 'links']
      : [readability.flesch_reading_ease.toLocaleString('en'), 'reading ease'],
  ];
  for (const [index, [value, label]] of tiles.entries()) {
    const x = TILES_LEFT + (index % 2) * (TILE_WIDTH + TILE_GAP);
    const y = KEYWORDS_TOP + Math.floor(index / 2) * (TILE_HEIGHT + TILE_GAP);
    pen.rectangle(x, y, TILE_WIDTH, TILE_HEIGHT, 10, COLORS.tile);
    pen.text(value, x + 16, y + 43, { size: 27, weight: 700, color: COLORS.ink, width: TILE_WIDTH - 32 });
    pen.text(label, x + 16, y + 67, { size: 14, color: COLORS.soft, width: TILE_WIDTH - 32 });
  }
}

function drawCurve(pen: Pen, { importance, chosen, output }: ChartInput): void {
  const { context } = pen;
  const note = chosen.length === 0 ? '' : `dots mark the ${plural(chosen.length, 'sentence')} of the summary`;
  heading(pen, 'Importance from start to end', note, MARGIN, CURVE_TOP - 20);
  context.strokeStyle = COLORS.faint;
  context.lineWidth = 1;
  for (const y of [CURVE_TOP, (CURVE_TOP + CURVE_BOTTOM) / 2, CURVE_BOTTOM]) {
    context.beginPath();
    context.moveTo(MARGIN, y + 0.5);
    context.lineTo(RIGHT, y + 0.5);
    context.stroke();
  }
  pen.text('start', MARGIN, CURVE_BOTTOM + 22, { size: 13, color: COLORS.soft });
  pen.text(plural(output.counts.sentences, 'sentence'), RIGHT, CURVE_BOTTOM + 22, {
    size: 13,
    color: COLORS.soft,
    align: 'right',
  });
  const points = curvePoints(importance);
  const first = points[0];
  const last = points.at(-1);
  if (first === undefined || last === undefined) return;

  context.beginPath();
  context.moveTo(first.x, CURVE_BOTTOM);
  for (const point of points) context.lineTo(point.x, point.y);
  context.lineTo(last.x, CURVE_BOTTOM);
  context.closePath();
  const fill = context.createLinearGradient(0, CURVE_TOP, 0, CURVE_BOTTOM);
  fill.addColorStop(0, '#0d948855');
  fill.addColorStop(1, '#0d948808');
  context.fillStyle = fill;
  context.fill();
  context.beginPath();
  for (const [index, point] of points.entries()) {
    if (index === 0) context.moveTo(point.x, point.y);
    else context.lineTo(point.x, point.y);
  }
  context.strokeStyle = COLORS.bar;
  context.lineWidth = 2;
  context.lineJoin = 'round';
  context.stroke();

  for (const position of chosen) {
    const point = points[Math.min(points.length - 1, Math.floor((position / importance.length) * points.length))];
    if (point === undefined) continue;
    context.beginPath();
    context.arc(point.x, point.y, 6.5, 0, 2 * Math.PI);
    context.fillStyle = COLORS.dot;
    context.fill();
    context.strokeStyle = COLORS.paper;
    context.lineWidth = 2;
    context.stroke();
  }
}

/** The most important sentence of each stretch of the text, at the middle of its stretch. */
function curvePoints(importance: Float64Array): { x: number; y: number }[] {
  const size = Math.min(CURVE_POINTS_LIMIT, importance.length);
  const highest = importance.reduce((most, value) => Math.max(most, value), 0);
  return Array.from({ length: size }, (_, index) => {
    const from = Math.floor((index * importance.length) / size);
    const to = Math.floor(((index + 1) * importance.length) / size);
    const peak = importance.subarray(from, to).reduce((most, value) => Math.max(most, value), 0);
    const share = highest === 0 ? 0 : peak / highest;
    return {
      x: MARGIN + ((index + 0.5) / size) * (RIGHT - MARGIN),
      y: CURVE_BOTTOM - share * (CURVE_BOTTOM - CURVE_TOP),
    };
  });
}

function heading(pen: Pen, text: string, note: string, x: number, baseline: number): void {
  const width = pen.text(text, x, baseline, { size: 17, weight: 600, color: COLORS.ink });
  if (note !== '') pen.text(note, x + width + 12, baseline, { size: 14, color: COLORS.soft });
}
