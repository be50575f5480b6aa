import { z } from 'zod';
import { ASSET_TYPES, assetSchema } from '../assets.schema.js';
import { mediaType, UNKNOWN_TYPE } from '../content/content-types.js';

const KIB = 1024;
const MIB = 1024 * KIB;
const MAX_PARTS = 1_000;

/** A name for people. It never is a path, so that nobody is tempted to make it one. */
export const assetNameSchema = z
  .string()
  .min(1)
  .max(255)
  .refine((name) => !/[/\\]/.test(name) && name !== '.' && name !== '..', 'must be a name, without path parts')
  .refine(
    // Letters that turn the reading direction make a name look like another.
    (name) => !/[\p{Cc}\u202a-\u202e\u2066-\u2069]/u.test(name),
    'must hold no control characters',
  );

const contentTypeSchema = z
  .string()
  .max(255)
  .transform((text, context) => {
    // Browsers give an empty type for files that they do not know.
    const type = text.trim() === '' ? UNKNOWN_TYPE : mediaType(text);
    if (type === null) {
      context.addIssue({ code: 'custom', message: 'must be a media type, such as image/png' });
      return z.NEVER;
    }
    return type;
  })
  .meta({ type: 'string', maxLength: 255 });

const sha256Schema = z.string().regex(/^[0-9a-f]{64}$/, 'must be 64 lower-case hex digits');
const size = z.int().min(0).max(Number.MAX_SAFE_INTEGER);

export const announceSchema = z
  .strictObject({
    task_id: z.uuid().toLowerCase(),
    run_id: z.uuid().toLowerCase().optional(),
    fence: z
      .string()
      .max(64)
      .optional()
      .describe('Of a worker that holds the run: the bytes come in under its lease, or not at all.'),
    name: assetNameSchema,
    type: z.enum(ASSET_TYPES).optional().describe('Absent: what the content type says.'),
    content_type: contentTypeSchema
      .optional()
      .describe('Required but for `external_url`. Empty or `application/octet-stream`: what the bytes say.'),
    size: size.optional().describe('Bytes, exactly. Required but for `external_url`.'),
    sha256: sha256Schema.optional().describe('Of the bytes, which are held to it.'),
    part_size: z
      .int()
      .min(64 * KIB)
      .max(1024 * MIB)
      .optional()
      .describe(
        'The bytes come in parts of so many (the last may be shorter), each by a PUT of its own, in any order.',
      ),
    external_url: z
      .string()
      .min(1)
      .max(2048)
      .optional()
      .describe('The server fetches the bytes from there, once, now.'),
  })
  .superRefine((input, context) => {
    const fault = (path: string, message: string): void => context.addIssue({ code: 'custom', path: [path], message });
    if (input.external_url !== undefined) {
      if (input.part_size !== undefined) fault('part_size', 'is for bytes that you send');
      if (input.fence !== undefined) fault('fence', 'is for bytes that you send');
    } else {
      if (input.content_type === undefined) fault('content_type', 'is required');
      if (input.size === undefined) fault('size', 'is required');
    }
    if (input.fence !== undefined && input.run_id === undefined) fault('run_id', 'is required with a fence');
    if (input.size !== undefined && input.part_size !== undefined && input.size > input.part_size * MAX_PARTS) {
      fault('part_size', `must be larger: there may be ${MAX_PARTS} parts`);
    }
    if (input.size === 0 && input.part_size !== undefined) fault('part_size', 'is for files that have bytes');
  })
  .meta({ id: 'AssetAnnouncement' });
export type CreateUploadInput = z.output<typeof announceSchema>;

const uploadSchema = z
  .object({
    method: z.literal('PUT'),
    url: z
      .string()
      .describe('Signed; the only credential the PUT needs. With parts, `{number}` stands for the part’s, from 1.'),
    headers: z.record(z.string(), z.string()).describe('To be sent with it.'),
    part_size: z.int().optional(),
    part_count: z.int().optional(),
    expires_at: z.iso.datetime(),
  })
  .meta({ id: 'AssetUpload' });
export type AssetUpload = z.output<typeof uploadSchema>;

export const announcedSchema = z
  .object({ asset: assetSchema, upload: uploadSchema.nullable().describe('Null where the server fetches the bytes.') })
  .meta({ id: 'AnnouncedAsset' });
export type CreatedUpload = z.output<typeof announcedSchema>;

export const partSchema = z.object({ number: z.int(), size: z.int(), sha256: z.string() }).meta({ id: 'AssetPart' });
export type AssetPart = z.output<typeof partSchema>;

export const partsSchema = z
  .object({
    part_size: z.int(),
    part_count: z.int(),
    parts: z.array(z.int()).describe('The numbers of those that are here.'),
    received: z.array(partSchema).describe('The same parts with their sizes and digests.'),
  })
  .meta({ id: 'AssetParts' });
export type AssetParts = z.output<typeof partsSchema>;

export const completeSchema = z
  .strictObject({
    parts: z
      .array(z.strictObject({ number: z.int().min(1).max(MAX_PARTS), sha256: sha256Schema }))
      .max(MAX_PARTS)
      .optional()
      .describe('The digests that the parts should have. Parts with another digest are named in the error.'),
  })
  .default({})
  .meta({ id: 'CompleteAsset' });
export type CompleteInput = z.output<typeof completeSchema>;

export const partNumberParam = z
  .string()
  .regex(/^[1-9]\d{0,3}$/)
  .transform(Number);

export const totalsSchema = z
  .object({
    count: z.int().describe('Assets that are ready.'),
    bytes: z.int().describe('Theirs, and of the pictures made of them.'),
    reserved_bytes: z.int().describe('Bytes held for uploads that are not finished. They count toward the quota.'),
    quota_bytes: z.int().nullable().describe('Null: no limit.'),
    max_asset_bytes: z.int(),
  })
  .meta({ id: 'AssetUsage' });
export type AssetTotals = z.output<typeof totalsSchema>;

/** The fields of a multipart form; the file's own name and type are its part's. */
export const formFieldsSchema = z
  .strictObject({
    task_id: z.uuid().toLowerCase(),
    run_id: z.uuid().toLowerCase().optional(),
    fence: z.string().max(64).optional(),
    name: assetNameSchema.optional(),
    type: z.enum(ASSET_TYPES).optional(),
    content_type: contentTypeSchema.optional(),
    size: z
      .string()
      .regex(/^\d{1,15}$/, 'must be a whole number')
      .transform(Number)
      .optional(),
    sha256: sha256Schema.optional(),
  })
  .refine(({ run_id, fence }) => fence === undefined || run_id !== undefined, {
    path: ['run_id'],
    message: 'is required with a fence',
  });
export type FormFields = z.output<typeof formFieldsSchema>;
