import { RouteConfig } from '@nestjs/platform-fastify';

const KIB = 1024;

/** Sizes of bodies, from the API's common rules. */
export const BODY_LIMIT_BYTES = { small: 64 * KIB, normal: 1024 * KIB, large: 2 * 1024 * KIB } as const;

/**
 * The route takes bodies of another size than the normal 1 MiB. Past it: 413. For methods: Nest passes over it on a class.
 * @param options `repairsText`: a NUL or half a surrogate pair in the body becomes U+FFFD instead of being refused; `keepsHalves`: the same, but
 * halves stay for the route to join; `isReport`: the body is
 * read as leniently as `parseJsonBody` can; `itemsMember`: the member whose items the route answers one by one
 */
export function BodyLimit(
  size: keyof typeof BODY_LIMIT_BYTES,
  {
    repairsText = false,
    keepsHalves = false,
    isReport = false,
    itemsMember = null,
  }: { repairsText?: boolean; keepsHalves?: boolean; isReport?: boolean; itemsMember?: string | null } = {},
): MethodDecorator {
  return RouteConfig({ bodyLimitBytes: BODY_LIMIT_BYTES[size], repairsText, keepsHalves, isReport, itemsMember });
}
