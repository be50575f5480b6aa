/** The words of the Neocu page (“All Tasks”, https://api.neocu.com/v1/task); COVERAGE.md says what of it holds and what is ours. */
import { z } from 'zod';

const LIMIT = { default: 15, most: 100 } as const;

const wholeNumber = (fallback: number) =>
  z
    .string({ error: 'must be given once, as a whole number from 1' })
    .regex(/^(?:[1-9]\d{0,8})?$/, 'must be a whole number from 1 to 999999999')
    .optional()
    .transform((text) => (text === undefined || text === '' ? fallback : Number(text)));

/** Not strict: the page's clients may send what they like beside these. */
export const neocuPageQuery = z.object({
  page: wholeNumber(1).meta({ description: 'Pages count from 1; absent or empty: 1.' }),
  limit: wholeNumber(LIMIT.default)
    .transform((limit) => Math.min(limit, LIMIT.most))
    .meta({ description: 'Tasks a page; absent or empty: 15. More than 100 is 100.' }),
});
export type NeocuPageQuery = z.output<typeof neocuPageQuery>;

const NEOCU_STATUSES = ['generating', 'completed', 'failed'] as const;
export type NeocuStatus = (typeof NEOCU_STATUSES)[number];

const neocuAssetSchema = z
  .object({
    url: z.string().describe('Presigned for an hour; "" where there is nothing yet.'),
    thumbnail: z.string(),
    embed: z.string(),
    name: z.string(),
    type: z.enum(['voice', 'image', 'sound', 'video', '360', '3d']),
    status: z.enum(NEOCU_STATUSES),
    _id: z.uuid(),
  })
  .meta({ id: 'NeocuAsset' });
export type NeocuAsset = z.output<typeof neocuAssetSchema>;

const neocuItemSchema = z
  .object({
    task: z.object({
      _id: z.uuid(),
      status: z.enum(NEOCU_STATUSES),
      message: z.array(z.string()).describe('The last 50 lines a person would read, oldest first.'),
      date: z.iso.datetime().describe('When the task was created.'),
    }),
    asset: z.array(neocuAssetSchema),
  })
  .meta({ id: 'NeocuItem' });
export type NeocuItem = z.output<typeof neocuItemSchema>;

export const neocuPageSchema = z
  .object({
    isSuccess: z.literal(true),
    taskList: z.array(neocuItemSchema),
    totalPages: z.int(),
    currentPage: z.int(),
    totalTasks: z.int().describe('Of all pages; exact.'),
  })
  .meta({ id: 'NeocuPage' });
export type NeocuPage = z.output<typeof neocuPageSchema>;

export const neocuSingleSchema = z
  .object({ isSuccess: z.literal(true), ...neocuItemSchema.shape })
  .meta({ id: 'NeocuSingle' });
export type NeocuSingle = z.output<typeof neocuSingleSchema>;

export const neocuErrorSchema = z.object({ error: z.string() }).meta({ id: 'NeocuError' });

const EXAMPLE_ITEM = {
  task: {
    _id: '0198a2b4-5c6d-7e8f-9a0b-1c2d3e4f5061',
    status: 'completed',
    message: ['Reading 4 sections', 'Drew the chart'],
    date: '2030-01-07T09:00:00.000Z',
  },
  asset: [
    {
      url: 'http://localhost:3000/api/v1/assets/0198a2b4-5c6d-7e8f-9a0b-1c2d3e4f5062/content?expires=1893999600&signature=…',
      thumbnail: '',
      embed: '',
      name: 'keywords.png',
      type: 'image',
      status: 'completed',
      _id: '0198a2b4-5c6d-7e8f-9a0b-1c2d3e4f5062',
    },
  ],
};

export const NEOCU_EXAMPLES = {
  page: { isSuccess: true, taskList: [EXAMPLE_ITEM], totalPages: 1, currentPage: 1, totalTasks: 1 },
  single: { isSuccess: true, ...EXAMPLE_ITEM },
  error: { error: 'No such task.' },
  systemError: { error: 'System Error. Please try again' },
} as const;
