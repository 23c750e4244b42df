// A story to write down: a seeded engine with a small fleet that takes, runs, fails and ends requests, as batches like the
// router's. After every batch it knows what a recovery up to there must give.
import { Engine } from "../../../src/core/engine.js";
import type { EndedRequest, Event } from "../../../src/core/events.js";
import type { GpuId, ModelId, NodeId, RequestId, UserId } from "../../../src/core/model/ids.js";
import type { Priority, Request, RequestSpec } from "../../../src/core/model/request.js";
import type { Record } from "../../../src/core/records.js";
import { DEFAULT_CORE_SETTINGS } from "../../../src/core/settings.js";
import { takeSnapshot } from "../../../src/core/snapshot.js";
import type { Batch, Journal } from "../../../src/journal/journal.js";
import { seededRandom } from "../../../src/lib/random.js";

const NODE = "node-a" as NodeId;
export const STARTED_AT_MS = 1_700_000_000_000;

export function specOf(requestId: string, overrides: Partial<RequestSpec> = {}): RequestSpec {
  return {
    requestId: requestId as RequestId,
    userId: "eve" as UserId,
    modelId: "llama-2-70b" as ModelId,
    type: "inference",
    priority: 3,
    requirements: { memoryMib: 100, computeUnits: 0, maxBatchSize: 0, expectedDurationMs: 250, minComputeCapability: 8000, inputTokens: 7, outputTokens: 9 },
    timeoutMs: 0,
    callbackUrl: "",
    strategy: "",
    specificGpuId: "",
    idempotent: true,
    payload: new Uint8Array(),
    contentHash: `hash of ${requestId}`,
    ...overrides,
  };
}

/** What was true after a batch. */
export interface Chapter {
  readonly batch: Batch;
  readonly digest: number;
  /** All requests that have ended by then, with their results. */
  readonly ended: ReadonlyMap<RequestId, EndedRequest>;
}

export class Story {
  readonly engine = new Engine(DEFAULT_CORE_SETTINGS);
  readonly #random: () => number;
  readonly #ended = new Map<RequestId, EndedRequest>();
  #records: Record[] = [];
  #endedNow: EndedRequest[] = [];
  #nowMs = STARTED_AT_MS;
  #nextSequence = 1;
  #requests = 0;

  constructor(seed: number) {
    this.#random = seededRandom(seed);
    this.step({ kind: "take_over", epoch: 1 });
    this.step({
      kind: "node_connected",
      nodeId: NODE,
      instanceId: "1",
      gpus: [0, 1, 2].map((index) => ({
        gpuId: `GPU-${index}` as GpuId,
        name: "Test GPU",
        computeCapability: 9000,
        memoryTotalMib: 81_920,
        multiprocessorCount: 132,
        powerLimitWatts: 700,
        driverVersion: "550.1",
        parentGpuId: "",
        simulated: false,
      })),
      runners: [{ name: "any", kind: "exec", models: ["*"], types: [], gpuIds: [] }],
      held: [],
    });
  }

  step(event: Event): void {
    this.#nowMs += Math.floor(this.#random() * 20);
    const { records, ended } = this.engine.step(event, this.#nowMs);
    this.#records.push(...records);
    for (const end of ended) {
      // The request is the story's own from here on: the engine has let go of it.
      this.#endedNow.push(end);
      this.#ended.set(end.request.spec.requestId, end);
    }
  }

  /** A few events, as the next batch. `withSnapshot` adds a snapshot to it. */
  chapter(withSnapshot = false): Chapter {
    const wanted = 1 + Math.floor(this.#random() * 6);
    while (this.#records.length < wanted) this.#somethingHappens();
    const records = this.#records;
    const batch: Batch = { firstSequence: this.#nextSequence, records, ended: this.#endedNow, snapshot: withSnapshot ? takeSnapshot(this.engine.state) : null };
    this.#nextSequence += records.length;
    this.#records = [];
    this.#endedNow = [];
    return { batch, digest: this.engine.state.digest(), ended: new Map(this.#ended) };
  }

  #somethingHappens(): void {
    const draw = this.#random();
    const live = [...this.engine.state.requests.values()];
    const request = live[Math.floor(this.#random() * live.length)];
    if (!request || (draw < 0.4 && live.length < 60)) {
      const payload = new Uint8Array(Math.floor(this.#random() * 3000)).fill(this.#requests);
      const priority = (1 + Math.floor(this.#random() * 5)) as Priority;
      this.#requests += 1;
      this.step({ kind: "submit", spec: specOf(`r-${this.#requests}`, { priority, payload, userId: (draw < 0.1 ? "bob" : "eve") as UserId }) });
    } else if (draw < 0.45) {
      this.step({ kind: "cancel", requestId: request.spec.requestId, reason: "no longer wanted" });
    } else if (request.phase === "placed" && draw < 0.7) {
      this.step({ kind: "attempt_started", nodeId: NODE, ref: refOf(request) });
    } else if (request.phase !== "queued") {
      this.#endAttempt(request, draw);
    } else {
      this.step({ kind: "tick" });
      this.#nowMs += 100;
    }
  }

  #endAttempt(request: Request, draw: number): void {
    const outcome = draw < 0.75 ? "unavailable" : draw < 0.8 ? "failed" : "succeeded";
    const result = outcome === "succeeded" ? new TextEncoder().encode(`result of ${request.spec.requestId}`) : new Uint8Array();
    const error = outcome === "succeeded" ? null : { code: "broken", message: "It broke.", exitCode: 3 };
    this.step({
      kind: "attempt_ended",
      nodeId: NODE,
      ref: refOf(request),
      end: { outcome, error, result, resultContentType: "text/plain", statistics: { runMs: 12.5, firstOutputMs: 3, inputTokens: 7, outputTokens: 9, peakMemoryMib: 0 } },
    });
  }
}

function refOf(request: Request): { readonly requestId: RequestId; readonly attempt: number } {
  return { requestId: request.spec.requestId, attempt: request.attempt };
}

/** A journal's content as an engine: what a router would start with. */
export function recoverEngine(journal: Journal): Engine {
  const { snapshot, records } = journal.recover();
  const engine = new Engine(DEFAULT_CORE_SETTINGS, snapshot);
  for (const record of records) engine.replay(record);
  engine.state.check();
  return engine;
}
