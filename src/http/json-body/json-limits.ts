export interface JsonLimits {
  /** Containers inside containers; the outermost counts as one. */
  maxDepth: number;
  /** Members of all objects and elements of all arrays together. */
  maxElements: number;
}

/** The documented depth, and as many elements as a full batch needs many times over. */
export const JSON_LIMITS: JsonLimits = { maxDepth: 64, maxElements: 100_000 };
