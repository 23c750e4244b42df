// A fleet and requests for benchmarks of the core and the journal: H100s in nodes of eight, with varied telemetry.

const NODE_GPUS = 8;

/** Connects nodes with `gpus` GPUs in all that serve everything. */
export function connectNodes(engine, gpus) {
  for (let node = 0; node * NODE_GPUS < gpus; node += 1) {
    const nodeId = `node-${node}`;
    const inventory = Array.from({ length: Math.min(NODE_GPUS, gpus - node * NODE_GPUS) }, (_, index) => ({
      gpuId: `GPU-${node}-${index}`, name: "NVIDIA H100 80GB HBM3", computeCapability: 9_000, memoryTotalMib: 81_559,
      multiprocessorCount: 132, powerLimitWatts: 700, driverVersion: "590.48.01", parentGpuId: "", simulated: true,
    }));
    const runners = [{ name: "bench", kind: "simulated", models: ["*"], types: [], gpuIds: [] }];
    engine.step({ kind: "node_connected", nodeId, instanceId: "bench", gpus: inventory, runners, held: [] }, 1);
    const samples = inventory.map(({ gpuId }, index) => ({
      ageMs: 0,
      sample: {
        gpuId, memoryUsedMib: 1_000 * index + node, memoryFreeMib: 60_000, gpuUtilizationPercent: (index * 13 + node) % 60, memoryUtilizationPercent: 10,
        temperatureCelsius: 40 + ((node * index) % 30), powerUsageWatts: 100 + (node % 300), powerLimitWatts: 700, uptimeSeconds: 1, clockEventReasons: 0, eccUncorrected: 0,
      },
    }));
    engine.step({ kind: "telemetry", nodeId, samples }, 2);
  }
}

/** A request with a 512-byte payload. */
export function benchSpec(requestId) {
  return {
    requestId, userId: "bench", modelId: "llama-2-70b", type: "inference", priority: 3,
    requirements: { memoryMib: 0, computeUnits: 0, maxBatchSize: 0, expectedDurationMs: 0, minComputeCapability: 0, inputTokens: 0, outputTokens: 0 },
    timeoutMs: 0, callbackUrl: "", strategy: "", specificGpuId: "", idempotent: true, payload: new Uint8Array(512), contentHash: "",
  };
}
