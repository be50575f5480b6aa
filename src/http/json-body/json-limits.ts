export interface JsonLimits {
  /** Containers inside containers; the outermost counts as one. */
  maxDepth: number;
  /** Members of all objects and elements of all arrays together. */
  maxElements: number;
  /** Members of one object: what an object costs grows faster than its members, since the engine makes a table of them. */
  maxObjectMembers: number;
  /** Members of all objects together. */
  maxMembers: number;
}

/** The documented depth, and as many members and elements as a full batch needs many times over. */
export const JSON_LIMITS: JsonLimits = {
  maxDepth: 64,
  maxElements: 100_000,
  maxObjectMembers: 2_000,
  maxMembers: 50_000,
};

/** Of what a worker reports of an error: causes within causes go deep. */
export const REPORT_LIMITS: JsonLimits = { ...JSON_LIMITS, maxDepth: 1_000 };
