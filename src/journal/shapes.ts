// The shapes of objects that the journal knows by number. Used by the codec to read and by the record writer to write.

/**
 * Shapes that are stored as a number instead of their key names. Part of the format: append, never change or reorder. An object
 * of any other shape is stored with its keys, so that a new field costs space until its shape is appended here, nothing else.
 */
export const SHAPES: readonly (readonly string[])[] = [
  ["kind", "spec", "atMs", "sequence", "deadlineAtMs", "estimate"],
  ["kind", "requestId", "attempt", "gpuId", "atMs", "memoryMib", "decision"],
  ["kind", "requestId", "attempt", "atMs"],
  ["kind", "requestId", "phase", "atMs", "error", "result", "statistics"],
  // prettier-ignore
  ["requestId", "userId", "modelId", "type", "priority", "requirements", "timeoutMs", "callbackUrl", "strategy", "specificGpuId", "idempotent", "payload", "contentHash"],
  ["memoryMib", "computeUnits", "maxBatchSize", "expectedDurationMs", "minComputeCapability", "inputTokens", "outputTokens"],
  ["memoryMib", "durationMs", "source"],
  // prettier-ignore
  ["spec", "sequence", "acceptedAtMs", "deadlineAtMs", "phase", "attempt", "gpuId", "nodeId", "placedAtMs", "startedAtMs", "endedAtMs", "progress", "stop", "error", "result", "statistics", "decision"],
  ["sizeBytes", "contentType"],
  ["runMs", "firstOutputMs", "inputTokens", "outputTokens", "peakMemoryMib"],
  ["filter", "removed", "needed"],
  ["request", "reservedMib", "waiting"],
  ["strategy", "considered", "filters", "scorers", "candidates", "seed", "estimate"],
  ["scorer", "weight"],
  ["gpuId", "score", "values", "telemetryAgeMs"],
  ["memoryMib", "durationMs", "source", "inputTokens", "outputTokens"],
  // prettier-ignore
  ["requestId", "userId", "modelId", "type", "priority", "requirements", "timeoutMs", "callbackUrl", "strategy", "specificGpuId", "idempotent", "payload", "wishes", "contentHash"],
  ["firstOutputMs", "totalMs", "deadlineAtMs", "whenLate", "sessionKey", "prefixHashes", "gpus", "preemptible", "checkpoint"],
  // prettier-ignore
  ["requestId", "userId", "modelId", "type", "priority", "requirements", "timeoutMs", "callbackUrl", "strategy", "specificGpuId", "idempotent", "payload", "batch", "contentHash"],
  // prettier-ignore
  ["requestId", "userId", "modelId", "type", "priority", "requirements", "timeoutMs", "callbackUrl", "strategy", "specificGpuId", "idempotent", "payload", "wishes", "batch", "contentHash"],
  ["id", "size", "split", "minPerGpu"],
];
