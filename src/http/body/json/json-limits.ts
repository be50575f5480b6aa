export interface JsonLimits {
  /** Containers inside containers; the outermost counts as one. */
  maxDepth: number;
  /** Members of all objects and elements of all arrays together. The worst body of so many (objects of one member, each of another name) takes about 0.2 s to parse. */
  maxElements: number;
  /** Members of one object: what an object costs grows faster than its members, since the engine makes a table of them. */
  maxObjectMembers: number;
}

/** The documented depth, and as many members and elements as a full batch needs many times over. */
export const JSON_LIMITS: JsonLimits = {
  maxDepth: 64,
  maxElements: 100_000,
  maxObjectMembers: 2_000,
};

/** Of what a worker reports of an error: causes within causes go deep. */
export const REPORT_LIMITS: JsonLimits = { ...JSON_LIMITS, maxDepth: 1_000 };
