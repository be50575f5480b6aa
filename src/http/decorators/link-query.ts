import { z } from 'zod';

/** The parts of a presigned link, which stand in the query beside the route's own. Whoever authenticates has checked them. */
export const linkQuery = {
  expires: z.string().max(16).optional().describe('Of a presigned link.'),
  issuer: z.string().max(64).optional().describe('Of a presigned link.'),
  organization: z.string().max(64).optional().describe('Of a presigned link.'),
  credential: z.string().max(64).optional().describe('Of a presigned link.'),
  key: z.string().max(64).optional().describe('Of a presigned link.'),
  signature: z.string().max(128).optional().describe('Of a presigned link.'),
};
