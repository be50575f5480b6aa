import { readFile } from 'node:fs/promises';
import { describe, expect, it } from '@jest/globals';
import { loadImage } from '@napi-rs/canvas';
import fc from 'fast-check';
import {
  digest,
  type DigestEvent,
  type DigestInput,
  type DigestResult,
} from '../../src/modules/executors/builtin/digest/digest.js';
import {
  DIGEST_TEXT_LIMIT_BYTES,
  digestOutputSchema,
  digestPayloadSchema,
} from '../../src/modules/executors/builtin/digest/digest.schema.js';

const HONEY_BEES = `---
title: not part of the text
---
# Honey bees

Honey bees are social insects that live in large colonies. A colony of honey bees consists of one queen, some hundred
drones and tens of thousands of workers. The weather was fine yesterday. Worker bees collect nectar and pollen from
flowers and carry both to the colony.

## The waggle dance

A worker bee that found flowers tells the other workers by a **waggle dance**. The waggle dance shows the direction and the
distance of the flowers. Dr. Karl von Frisch decoded the waggle dance and won the [Nobel Prize](https://example.com/nobel).

- Workers dance on the comb.
- Workers dance in the dark.

\`\`\`js
// # not a heading
const queen = 'not prose';
\`\`\`

Setext heading
--------------

| insect | colony |
| ------ | ------ |
| bee    | large  |

Honey is made from nectar by the worker bees of the colony. See https://example.com/honey for more.
![A bee](bee.png)
`;

interface Digested extends DigestResult {
  events: DigestEvent[];
}

async function digested(input: DigestInput): Promise<Digested> {
  const steps = digest(input, { signal: new AbortController().signal });
  const events: DigestEvent[] = [];
  let step = await steps.next();
  while (step.done !== true) {
    events.push(step.value);
    step = await steps.next();
  }
  return { ...step.value, events };
}

/** Letters and digits alone: what must be left of a sentence once markup and white space are gone. */
function bare(text: string): string {
  return text.replace(/[^\p{L}\p{N}]+/gu, '');
}

function megabyteOf(unit: string): string {
  return unit.repeat(Math.floor(DIGEST_TEXT_LIMIT_BYTES / Buffer.byteLength(unit)));
}

describe('a digest of a real text', () => {
  it('chooses sentences of the text, in its order, and leaves out what matters least', async () => {
    const { output } = await digested({ text: HONEY_BEES, sentences: 3 });
    expect(output.summary).toHaveLength(3);
    const places = output.summary.map((sentence) => bare(HONEY_BEES).indexOf(bare(sentence)));
    expect(places).not.toContain(-1);
    expect(places).toEqual([...places].sort((a, b) => a - b));
    expect(output.summary.join(' ')).not.toContain('weather');
    expect(output.summary.join(' ')).not.toContain('const queen');
  });

  it('ends no sentence after an abbreviation', async () => {
    const { output } = await digested({ text: HONEY_BEES, sentences: 20 });
    expect(output.summary).toContain('Dr. Karl von Frisch decoded the waggle dance and won the Nobel Prize.');
  });

  it('finds the phrases and words the text is about, inflections together and no stopwords', async () => {
    const { output } = await digested({ text: HONEY_BEES });
    const terms = output.keywords.map((keyword) => keyword.term.toLowerCase());
    expect(terms).toEqual(expect.arrayContaining(['waggle dance', 'colony']));
    expect(terms.slice(0, 6).some((term) => term.includes('bees'))).toBe(true);
    expect(terms).not.toEqual(expect.arrayContaining(['colonies']));
    expect(terms.filter((term) => ['the', 'of', 'and', 'queen =', 'const'].includes(term))).toEqual([]);
    const colony = output.keywords.find((keyword) => keyword.term === 'colony');
    expect(colony?.count).toBe(5);
    expect(output.keywords[0]?.score).toBe(1);
    const scores = output.keywords.map((keyword) => keyword.score);
    expect(scores).toEqual([...scores].sort((a, b) => b - a));
  });

  it('lists the headings with their levels and the lines they stand on', async () => {
    const { output } = await digested({ text: HONEY_BEES });
    expect(output.outline).toEqual([
      { level: 1, line: 4, text: 'Honey bees' },
      { level: 2, line: 10, text: 'The waggle dance' },
      { level: 2, line: 23, text: 'Setext heading' },
    ]);
  });

  it('counts what the text is made of', async () => {
    const { output } = await digested({ text: HONEY_BEES });
    expect(output.counts).toMatchObject({
      characters: HONEY_BEES.length,
      lines: HONEY_BEES.split('\n').length - 1,
      sentences: 11,
      paragraphs: 3,
      list_items: 2,
      headings: 3,
      links: 2,
      images: 1,
      code_blocks: 1,
    });
    expect(output.reading_time_seconds).toBe(Math.ceil((output.counts.words / 238) * 60));
    expect(output.readability?.flesch_reading_ease).toBeGreaterThan(50);
  });

  it('keeps headings and lines right in a text that is read in many pieces', async () => {
    const section = (index: number): string =>
      `## Part ${index}\n\nSome words on part ${index}.\n\n- item\n\n  \`\`\`sh\n  # no heading\n\n  \`\`\`\n\n\`\`\`\n# no heading either\n\n\`\`\`\n\n`;
    const { output } = await digested({ text: Array.from({ length: 480 }, (_, index) => section(index)).join('') });
    expect(output.counts).toMatchObject({ headings: 480, code_blocks: 960, list_items: 480, paragraphs: 480 });
    expect(output.outline).toEqual(
      Array.from({ length: 480 }, (_, index) => ({ level: 2, line: index * 16 + 1, text: `Part ${index}` })),
    );
  });

  it('digests the documentation of this project', async () => {
    const text = await readFile('docs/architecture.md', 'utf8');
    const { output, message, chart } = await digested({ text });
    expect(digestOutputSchema.parse(output)).toEqual(output);
    expect(output.language).toBe('en');
    expect(output.summary).toHaveLength(5);
    expect(output.keywords).toHaveLength(12);
    expect(message).toContain('**Keywords:**');
    expect(chart.bytes.byteLength).toBeGreaterThan(10_000);
  });

  it.each([
    ['de', 'Die Brüder Grimm begannen im Jahr 1838 mit der Arbeit an dem Wörterbuch und es wurde erst 1961 vollendet.'],
    ['fr', "Les panneaux solaires transforment l'énergie du soleil en électricité dans beaucoup de pays du monde."],
    ['es', 'La energía del sol se transforma en electricidad y los paneles están en los tejados de muchas casas.'],
    ['ru', 'Солнце светит на крыши домов, и мы получаем от него энергию, которая нужна всем людям в городе.'],
    ['ar', 'تعتبر الطاقة المتجددة من أهم مصادر الكهرباء في المستقبل وهي متوفرة في كل الدول العربية.'],
    ['zh', '北京是中华人民共和国的首都，也是全国的政治中心和文化中心。城市交通发展迅速。'],
    ['ja', '日本語の文章を要約するプログラムはとても便利です。東京は日本の首都です。'],
    ['ko', '서울은 대한민국의 수도이며 가장 큰 도시이다.'],
    ['und', 'Lorem qux zzyx vlorp brint gaxu drimble.'],
  ])('tells that a text is in the language "%s"', async (language, text) => {
    const { output } = await digested({ text });
    expect(output.language).toBe(language);
    expect(output.summary.length).toBeGreaterThan(0);
    expect(output.keywords.length).toBeGreaterThan(0);
  });

  it('falls back to frequency where it knows neither stopwords nor stems', async () => {
    const text =
      'Miasto leży nad rzeką. Stolica jest ważnym ośrodkiem. Miasto zostało zniszczone podczas wojny. ' +
      'Miasto odwiedzają turyści z całego świata. Rzeka dzieli miasto.';
    const { output } = await digested({ text, keywords: 3 });
    expect(output.keywords[0]).toMatchObject({ count: 4 });
    expect(output.keywords[0]?.term.toLowerCase()).toBe('miasto');
  });

  it('gives the same digest, to the last byte of the chart, for the same text', async () => {
    const first = await digested({ text: HONEY_BEES });
    const second = await digested({ text: HONEY_BEES });
    expect(second).toEqual(first);
  });
});

describe('the progress of a digest', () => {
  it('never falls, and ends at 1', async () => {
    const { events } = await digested({ text: HONEY_BEES });
    const progress = events.flatMap((event) => (event.type === 'custom' ? [event.data.progress] : []));
    expect(progress).toEqual([...progress].sort((a, b) => a - b));
    expect(progress.at(-1)).toBe(1);
    expect(events.at(-1)).toEqual({ type: 'custom', data: { stage: 'done', progress: 1 } });
  });

  it('tells each sentence of the summary when it is chosen', async () => {
    const { events, output } = await digested({ text: HONEY_BEES, sentences: 4 });
    const chosen = events.flatMap((event) => (event.type === 'delta' ? [event.data.text.trim()] : []));
    expect(chosen.sort()).toEqual([...output.summary].sort());
  });

  it('stops with the reason of the signal', async () => {
    const reason = new Error('stopped by the test');
    await expect(digest({ text: 'Some words.' }, { signal: AbortSignal.abort(reason) }).next()).rejects.toBe(reason);

    const controller = new AbortController();
    const steps = digest({ text: megabyteOf('Words that take a while to read. ') }, { signal: controller.signal });
    await steps.next();
    setImmediate(() => controller.abort(reason));
    const rest = async (): Promise<void> => {
      for await (const event of steps) expect(event).not.toMatchObject({ data: { stage: 'done' } });
    };
    await expect(rest()).rejects.toBe(reason);
  });

  it('lets others have their turn while it works', async () => {
    let turns = 0;
    let isDone = false;
    const count = (): void => {
      turns += 1;
      if (!isDone) setImmediate(count);
    };
    setImmediate(count);
    await digested({ text: megabyteOf('Many sentences are read here. ') });
    isDone = true;
    expect(turns).toBeGreaterThan(20);
  });
});

describe('the chart of a digest', () => {
  it('is a PNG of the size it says', async () => {
    const { chart } = await digested({ text: HONEY_BEES, title: 'Bees' });
    const image = await loadImage(chart.bytes);
    expect(chart).toMatchObject({ name: 'digest.png', contentType: 'image/png', width: 1200, height: 675 });
    expect([image.width, image.height]).toEqual([1200, 675]);
  });

  it('is drawn for a text without words, and for titles and words of any script', async () => {
    for (const text of ['', '🎉🎉 👩‍👩‍👧‍👦', '# 北京 한국어 ไทย हिन्दी עברית العربية Ελληνικά 𐎀𐎁\n\nᚠᛇᚻ ᛒᛦᚦ ᚠᚱᚩᚠᚢᚱ.']) {
      const { chart } = await digested({ text, title: 'x'.repeat(5000) });
      expect((await loadImage(chart.bytes)).width).toBe(1200);
    }
  });
});

describe('a digest of a hostile text', () => {
  const cases: [string, string][] = [
    ['one word', megabyteOf('a')],
    ['one line', megabyteOf('some words, ')],
    ['deep quotes', '>'.repeat(100_000)],
    ['deep lists', megabyteOf('- * + 1. ')],
    ['half a million headings', megabyteOf('#\n')],
    ['setext headings', megabyteOf('a\n=\n')],
    ['brackets', megabyteOf('![')],
    ['emphasis', megabyteOf('*a_ ')],
    ['comments', megabyteOf('<!')],
    ['code fences', megabyteOf('```\n')],
    ['a table', megabyteOf('a|b\n-|-\n')],
    ['NUL', megabyteOf('\0')],
    ['carriage returns', megabyteOf('\r')],
    ['lone surrogates', '\uD83D'.repeat(300_000)],
    ['emoji', megabyteOf('👩‍👩‍👧‍👦')],
    ['stacked accents', megabyteOf('\u0301')],
    ['right to left', megabyteOf('שלום עולם. ')],
    ['no spaces between words', megabyteOf('文字')],
    ['abbreviations', megabyteOf('Dr. ')],
    ['control characters', megabyteOf('\u0001\u001B[0m')],
    ['only white space', megabyteOf(' \n\t')],
  ];

  it.each(cases)('ends, with a well-formed and bounded result: %s', async (_name, text) => {
    const { output, message, chart } = await digested({ text, sentences: 20, keywords: 50 });
    expect(digestOutputSchema.parse(output)).toEqual(output);
    const json = JSON.stringify({ output, message });
    expect(Buffer.byteLength(json)).toBeLessThan(256 * 1024);
    expect(message + JSON.stringify(output)).not.toMatch(/\p{Surrogate}|\0|\\ud[89a-f]|\\u0000/u);
    expect((await loadImage(chart.bytes)).height).toBe(675);
  });

  it('refuses more than it promises to digest', async () => {
    await expect(digested({ text: `${megabyteOf('a')}a` })).rejects.toThrow(RangeError);
    expect(digestPayloadSchema.safeParse({ text: `${megabyteOf('a')}a` }).success).toBe(false);
    expect(digestPayloadSchema.safeParse({ text: 'a', surprise: 1 }).success).toBe(false);
    expect(digestPayloadSchema.safeParse({ sentences: 21 }).success).toBe(false);
    expect(digestPayloadSchema.parse({})).toEqual({});
  });

  it('turns no markup of the text into markup of the message', async () => {
    const { message } = await digested({
      text: 'A sentence with `<script>alert(1)</script>` and \\*stars\\* in its middle.',
    });
    expect(message).toContain('\\<script\\>alert(1)\\</script\\>');
    expect(message).toContain('\\*stars\\*');
  });
});

describe('a digest of any text', () => {
  const markdownPart = fc.constantFrom(
    '# ',
    '\n',
    '\n\n',
    '> ',
    '- ',
    '```',
    '`',
    '*',
    '_',
    '[a](b)',
    '![',
    '<b>',
    '&amp;',
    '|',
    '---\n',
    '. ',
    '! ',
  );

  it('never fails, is well-formed, and keeps to its schema', async () => {
    const anyText = fc.oneof(
      fc.string({ unit: 'binary', maxLength: 300 }),
      fc.array(fc.integer({ min: 0, max: 0xffff }), { maxLength: 200 }).map((units) => String.fromCharCode(...units)),
      fc.array(fc.oneof(markdownPart, fc.lorem({ maxCount: 3 }))).map((parts) => parts.join('')),
    );
    await fc.assert(
      fc.asyncProperty(anyText, async (text) => {
        const { output, message } = await digested({ text });
        expect(digestOutputSchema.parse(output)).toEqual(output);
        expect(message + JSON.stringify(output)).not.toMatch(/\p{Surrogate}|\0/u);
      }),
      { numRuns: 40, seed: 7 },
    );
  });

  it('summarises by nothing but what the text says', async () => {
    const sentence = fc.lorem({ mode: 'sentences', maxCount: 2 });
    const block = fc
      .tuple(fc.constantFrom('', '# ', '> ', '- ', '1. ', '**'), fc.array(sentence, { minLength: 1, maxLength: 5 }))
      .map(([opener, sentences]) => opener + sentences.join(' '));
    await fc.assert(
      fc.asyncProperty(fc.array(block, { minLength: 1, maxLength: 8 }), async (blocks) => {
        const text = blocks.join('\n\n');
        const { output } = await digested({ text });
        expect(output.summary.length).toBeGreaterThan(0);
        for (const chosen of output.summary) expect(bare(text)).toContain(bare(chosen));
      }),
      { numRuns: 30, seed: 7 },
    );
  });
});
