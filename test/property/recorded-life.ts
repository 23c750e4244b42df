// A router's life as random events, all of it drawn from one seed: users, prompts with common beginnings, promises, runners that load
// models, lost nodes. Whatever the engine says is done, so events answer its decisions. For tests that make the decisions again.
import { Engine } from "../../src/core/engine.js";
import type { AttemptOutcome, Event, Step } from "../../src/core/events.js";
import type { RunnerInfo } from "../../src/core/model/gpu.js";
import type { AttemptRef, NodeId, UserId } from "../../src/core/model/ids.js";
import { NO_WISHES, type Priority, type RequestSpec } from "../../src/core/model/request.js";
import type { Record } from "../../src/core/records.js";
import { strategies } from "../../src/core/scheduling/registry.js";
import { DEFAULT_CORE_SETTINGS, type CoreSettings } from "../../src/core/settings.js";
import type { Snapshot } from "../../src/core/snapshot.js";
import { seededRandom } from "../../src/lib/random.js";
import { end, gpuId, inventory, modelId, nodeId, requestId, sample, settings, spec } from "../unit/core/build.js";

export const STRATEGIES: readonly string[] = strategies(DEFAULT_CORE_SETTINGS).map(({ name }) => name);

const MODELS = ["llama-3.1-8b", "qwen2.5-14b", "mistral-7b"];
const KINDS = ["NVIDIA H100 80GB HBM3", "NVIDIA A100-SXM4-80GB", "NVIDIA L4"];
const NODES = ["n0", "n1", "n2"];
const GPUS_PER_NODE = 2;
const OUTCOMES: readonly AttemptOutcome[] = ["succeeded", "succeeded", "succeeded", "succeeded", "failed", "unavailable", "cancelled"];

interface Dispatch {
  readonly nodeId: NodeId;
  readonly ref: AttemptRef;
  readonly gpuId: string;
  started: boolean;
}

export interface Observer {
  stepped(event: Event, nowMs: number, records: readonly Record[]): void;
}

/** `settings.strategy` is that of requests that name none. */
export function lifeSettings(over: Partial<CoreSettings> = {}): CoreSettings {
  return settings({ maxConcurrentTasksPerGpu: 3, maxRetries: 2, gpuCooldownMs: 8_000, maxQueuedRequests: 40, maxQueuedBytes: 30_000, requestTimeoutMs: 9_000, maxWaitMs: 5_000, ...over });
}

export class Life {
  readonly engine: Engine;
  readonly records: Record[] = [];
  readonly #random: () => number;
  readonly #observer: Observer;
  readonly #dispatches: Dispatch[] = [];
  readonly #specs: RequestSpec[] = [];
  readonly #loaded = new Map<string, Set<string>>();
  #nowMs: number;

  constructor(seed: number, options: { readonly settings: CoreSettings; readonly observer: Observer; readonly engine?: Engine; readonly snapshot?: Snapshot; readonly nowMs?: number }) {
    this.#random = seededRandom(seed);
    this.#observer = options.observer;
    this.#nowMs = options.nowMs ?? 1_700_000_000_000;
    this.engine = options.engine ?? new Engine(options.settings, options.snapshot ?? null);
    this.#step({ kind: "take_over", epoch: this.engine.state.epoch + 1 });
    for (const node of NODES) this.#connect(nodeId(node));
  }

  get nowMs(): number {
    return this.#nowMs;
  }

  live(steps: number): void {
    for (let count = 0; count < steps; count += 1) this.#next();
  }

  #next(): void {
    this.#nowMs += this.#below(60);
    const lot = this.#random();
    if (lot < 0.3) return this.#submit();
    if (lot < 0.6) return this.#workOn();
    if (lot < 0.75) return this.#tick();
    if (lot < 0.83) return this.#telemetry();
    if (lot < 0.88) return this.#explain();
    if (lot < 0.91) return this.#runnerLoad();
    if (lot < 0.93) return this.#cancel();
    if (lot < 0.95) return void this.#step({ kind: "runners_changed", ...this.#node() });
    if (lot < 0.97) return this.#comeAndGo();
    if (lot < 0.98) return this.#again();
    if (lot < 0.99) return this.#loseGpu();
    return this.#foreignEnd();
  }

  #submit(): void {
    const type = this.#of(["inference", "inference", "inference", "batch", "training"]);
    const inTokens = type !== "training";
    const blocks = Array.from({ length: this.#below(5) }, (_, place) => (place < 2 ? place + 1 : 1000 * place + this.#below(4)));
    const wishes = { ...NO_WISHES, firstOutputMs: this.#of([0, 300, 2_000]), totalMs: this.#of([0, 1_500, 20_000]), whenLate: this.#of(["demote", "fail"] as const), prefixHashes: blocks, sessionKey: this.#of(["", "s1"]), gpus: this.#of([1, 1, 1, 1, 2]) };
    const request = spec(`r${this.#specs.length}`, {
      userId: `user-${this.#below(5)}` as UserId,
      model: this.#of(MODELS),
      type,
      priority: (1 + this.#below(5)) as Priority,
      timeoutMs: this.#of([0, 0, 500, 20_000]),
      strategy: this.#random() < 0.2 ? this.#of(STRATEGIES) : "",
      gpu: this.#random() < 0.05 ? "n1-0" : "",
      requirements: {
        memoryMib: this.#of([0, 0, 700, 9_000]),
        inputTokens: inTokens ? this.#below(6_000) : 0,
        outputTokens: inTokens ? this.#of([0, 40, 300]) : 0,
        expectedDurationMs: this.#of([0, 400]),
      },
      payload: new Uint8Array(this.#below(2_000)).fill(7),
      contentHash: this.#of(["", "a", "b"]),
      callbackUrl: "https://example.org/private",
      ...(this.#random() < 0.7 ? { wishes } : {}),
    });
    this.#specs.push(request);
    this.#step({ kind: "submit", spec: request });
  }

  /** A dispatched attempt starts, progresses or ends. */
  #workOn(): void {
    const dispatch = this.#dispatches[this.#below(this.#dispatches.length)];
    if (!dispatch) return this.#tick();
    const { nodeId: node, ref } = dispatch;
    if (!dispatch.started && this.#random() < 0.8) {
      dispatch.started = true;
      return void this.#step({ kind: "attempt_started", nodeId: node, ref });
    }
    if (this.#random() < 0.2) return void this.#step({ kind: "attempt_progress", nodeId: node, ref, fraction: this.#random() });
    this.#dispatches.splice(this.#dispatches.indexOf(dispatch), 1);
    this.#end(node, ref);
  }

  #end(node: NodeId, ref: AttemptRef): void {
    const firstOutputMs = this.#below(400);
    const statistics = { runMs: firstOutputMs + this.#random() * 3_000, firstOutputMs, inputTokens: this.#below(6_000), outputTokens: this.#below(400), peakMemoryMib: this.#below(4_000) };
    const measured = this.#random() < 0.9 ? statistics : null;
    this.#step({ kind: "attempt_ended", nodeId: node, ref, end: end(this.#of(OUTCOMES), { statistics: measured, result: new Uint8Array(this.#below(300)).fill(9), resultContentType: "text/plain" }) });
  }

  #tick(): void {
    this.#nowMs += this.#of([0, 20, 300, 1_100]);
    this.#step({ kind: "tick" });
  }

  #telemetry(): void {
    const node = nodeId(this.#of(NODES));
    const samples = this.#gpusOf(node).map((gpu) => ({
      sample: sample(gpu, {
        memoryUsedMib: this.#of([0, 30_000, 70_000, Number.NaN]),
        gpuUtilizationPercent: this.#of([0, 40, 100, Number.NaN]),
        temperatureCelsius: this.#of([40, 84, 90]),
        powerUsageWatts: 100 + this.#random() * 300,
      }),
      ageMs: this.#random() * 1_500,
    }));
    this.#step({ kind: "telemetry", nodeId: node, samples });
  }

  /** Somebody looks: nothing that is decided later may hang on it, for nobody records it. */
  #explain(): void {
    const asked = this.#specs[this.#below(this.#specs.length)];
    if (asked) this.engine.explain({ ...asked, type: this.#of(["inference", "training", "other"]), modelId: modelId(this.#of([...MODELS, "unheard-of"])) }, this.#nowMs);
  }

  #runnerLoad(): void {
    const node = nodeId(this.#of(NODES));
    this.#step({ kind: "runner_load", nodeId: node, loads: [{ runner: `engine-${this.#of(this.#gpusOf(node))}`, running: this.#below(9), waiting: this.#below(3), kvUse: this.#random(), ageMs: this.#below(500) }] });
  }

  #cancel(): void {
    const asked = this.#specs[this.#below(this.#specs.length)];
    if (asked) this.#step({ kind: "cancel", requestId: asked.requestId, reason: "secret reason" });
  }

  #comeAndGo(): void {
    const node = nodeId(this.#of(NODES));
    if (this.#random() < 0.4) this.#step({ kind: "node_disconnected", nodeId: node });
    else this.#connect(node);
  }

  /** The same request once more, or another one under its id. */
  #again(): void {
    const asked = this.#specs[this.#below(this.#specs.length)];
    if (asked) this.#step({ kind: "submit", spec: { ...asked, contentHash: this.#of([asked.contentHash, "other"]) } });
  }

  #loseGpu(): void {
    const node = nodeId(this.#of(NODES));
    this.#step({ kind: "gpu_lost", nodeId: node, gpuId: gpuId(this.#of(this.#gpusOf(node))), reason: "Xid 79" });
  }

  #foreignEnd(): void {
    this.#end(nodeId(this.#of(NODES)), { requestId: requestId(`r${this.#below(30)}`), attempt: 1 + this.#below(3) });
  }

  #connect(node: NodeId): void {
    const gpus = this.#gpusOf(node).map((gpu) => inventory(gpu, { name: KINDS[NODES.indexOf(node)]!, memoryTotalMib: node === "n2" ? 23_034 : 81_559 }));
    const held = this.#dispatches.filter((dispatch) => dispatch.nodeId === node).map(({ ref }) => ref);
    this.#step({ kind: "node_connected", instanceId: `${this.#below(3)}`, gpus, held, ...this.#node(node) });
  }

  #node(node = nodeId(this.#of(NODES))): { readonly nodeId: NodeId; readonly runners: readonly RunnerInfo[] } {
    const runners = this.#gpusOf(node).map((gpu, place) => ({
      name: `engine-${gpu}`,
      kind: "openai",
      models: node === "n0" ? ["*" as const] : [...(this.#loaded.get(gpu) ?? new Set(MODELS.slice(0, 1 + place)))].map(modelId),
      types: [],
      gpuIds: [gpuId(gpu)],
      loadable: node === "n0" ? [] : MODELS.map((model, size) => ({ modelId: modelId(model), memoryMib: 14_000 + 4_000 * size, loadMs: 3_000 })),
      kvCapacityTokens: 100_000,
    }));
    return { nodeId: node, runners };
  }

  #gpusOf(node: string): string[] {
    return Array.from({ length: GPUS_PER_NODE }, (_, place) => `${node}-${place}`);
  }

  #step(event: Event): Step {
    const step = this.engine.step(event, this.#nowMs);
    this.#observer.stepped(event, this.#nowMs, step.records);
    this.records.push(...step.records);
    for (const effect of step.effects) {
      if (effect.kind === "dispatch") this.#dispatches.push({ nodeId: effect.nodeId, ref: { requestId: effect.request.spec.requestId, attempt: effect.attempt }, gpuId: effect.gpuId, started: false });
      if (effect.kind === "order_model") this.#order(effect.order.runner.slice("engine-".length), effect.order.modelId, effect.order.action);
    }
    return step;
  }

  #order(gpu: string, model: string, action: "load" | "unload"): void {
    const loaded = this.#loaded.get(gpu) ?? new Set(MODELS.slice(0, 1));
    if (action === "load") loaded.add(model);
    else loaded.delete(model);
    this.#loaded.set(gpu, loaded);
  }

  #below(bound: number): number {
    return Math.floor(this.#random() * bound);
  }

  #of<T>(from: readonly T[]): T {
    return from[this.#below(from.length)]!;
  }
}
