// The health of all GPUs: takes in what nodes tell and how attempts end, lets each GPU's state machine (gpu-health.ts) judge, and writes
// its verdict into the fleet's columns. Called by the engine and by failover/. Not durable: agents tell again, outcomes teach again.
// What becomes of the work on a GPU is failover's.
import { unreachable } from "../../lib/assert.js";
import type { Fleet } from "../fleet/fleet.js";
import type { GpuHealthView, GpuReport, GpuTelemetry, HealthStatus, HealthTransition } from "../model/gpu.js";
import type { GpuId, NodeId } from "../model/ids.js";
import type { CoreSettings } from "../settings.js";
import { GpuHealth, type Sign, type SignName } from "./gpu-health.js";
import { PeerComparison } from "./peer-comparison.js";
import { PeerStatistics } from "./peer-statistics.js";
import { EVENT_REMEMBERED_MS, SampleSigns } from "./sample-signs.js";
import { meaningOfXid } from "./xid.js";

/** Error rate: each outcome moves it by this share, so that about the last twenty count. */
const ERROR_RATE_GAIN = 0.05;
/** And time takes all but 1/e of it within this long, ms: what is not used gets no outcomes that could. */
const ERROR_RATE_TAU_MS = 300_000;
/** A slow GPU counts as no longer slow below this share of what made it slow. */
const NO_LONGER_SLOW = 0.85;
/** Transitions that wait to be taken. More than a step can make; a router that takes none keeps the last. */
const MAX_WAITING_TRANSITIONS = 4_096;

/** How an attempt ended, as far as its GPU is concerned. */
export interface HealthOutcome {
  readonly modelId: string;
  /** `gpu_fault`: the GPU is to blame for certain. `fault`: it, its runner or its node may be. */
  readonly kind: "succeeded" | "fault" | "gpu_fault";
  /** What went wrong, in a word that may be shown to all; "" for a success. */
  readonly text: string;
  /** Time that a success took over what was expected of it; 0 when nothing can be said of that. */
  readonly ratio: number;
}

interface Entry {
  readonly health: GpuHealth;
  readonly samples: SampleSigns;
  outcomes: number;
  /** Of the last transition that was told of. */
  toldAt: HealthTransition | undefined;
}

export interface GpuTransition extends HealthTransition {
  readonly gpuId: GpuId;
}

export class FleetHealth {
  readonly #fleet: Fleet;
  readonly #settings: CoreSettings;
  readonly #entries: Entry[] = [];
  readonly #peers: PeerStatistics;
  readonly #comparison: PeerComparison;
  readonly #restless = new Set<number>();
  readonly #outByStatistics = new Set<number>();
  #transitions: GpuTransition[] = [];

  constructor(fleet: Fleet, settings: CoreSettings) {
    this.#fleet = fleet;
    this.#settings = settings;
    this.#peers = new PeerStatistics(settings.health.minOutcomes);
    this.#comparison = new PeerComparison(this.#peers, (gpu) => fleet.work.kind[gpu]!);
  }

  /** A sample of `gpu`, taken at `sampledAtMs`. */
  observe(gpu: number, sample: GpuTelemetry, sampledAtMs: number, nowMs: number): void {
    const { health, samples } = this.#entry(gpu);
    const { maxTemperatureCelsius, health: limits } = this.#settings;
    const { memoryTotalMib, reservedMib } = this.#fleet;
    samples.read(sample, health, { maxTemperatureCelsius, ...limits }, { totalMib: memoryTotalMib[gpu]!, reservedMib: reservedMib[gpu]! }, nowMs);
    // It answers: what hung does so no more, and what had fallen silent is there again. Whether it works is for its probe to say.
    if (sampledAtMs > health.sinceMs) {
      health.clear("hangs");
      health.clear("lost");
    }
    this.#settle(gpu, nowMs);
  }

  /** The GPU does not answer any more: it is out at once, hard fact and not statistics. It happened at `atMs`. */
  lost(gpu: number, reason: string, atMs: number, nowMs: number): void {
    const standing = this.#fleet.telemetry[gpu] !== null;
    this.#raise(gpu, "lost", { demand: "quarantined", text: reason, needsReset: true, standing }, atMs, nowMs);
  }

  /** What its node tells of a GPU, which happened at `atMs`; true when the work that it had is lost. */
  report(gpu: number, report: GpuReport, atMs: number, nowMs: number): boolean {
    switch (report.kind) {
      case "xid": {
        const { xidClass, text } = meaningOfXid(report.xid, report.detail);
        const said = `Xid ${report.xid}: ${text}`;
        if (xidClass === "warning") this.#raise(gpu, "xid", { demand: "degraded", text: said, untilMs: atMs + EVENT_REMEMBERED_MS }, atMs, nowMs);
        else if (xidClass === "reset") this.#raise(gpu, "xid", { demand: "draining", text: said, needsReset: true }, atMs, nowMs);
        else if (xidClass === "fatal") this.#raise(gpu, "xid", { demand: "quarantined", text: said, needsReset: true }, atMs, nowMs);
        return xidClass === "fatal";
      }
      case "hangs":
        this.#raise(gpu, "hangs", { demand: "draining", text: report.reason, standing: true }, atMs, nowMs);
        return false;
      case "restored":
        this.restarted(gpu, report.reason, atMs, nowMs);
        return false;
      default:
        unreachable(report);
    }
  }

  /** It was reset: what only a reset helps is over, it may prove itself at once, and what its cache held is gone. */
  restarted(gpu: number, reason: string, atMs: number, nowMs: number): void {
    this.#fleet.cachesLost(gpu);
    const { health } = this.#entry(gpu);
    health.clear("hangs");
    health.restarted(reason, Math.max(atMs, health.sinceMs));
    this.#settle(gpu, nowMs);
  }

  /** The GPUs of a node that says hello; `anew` when its agent was started since the last time. */
  reported(nodeId: NodeId, reported: ReadonlySet<GpuId>, anew: boolean, nowMs: number): void {
    for (const gpu of this.#gpusOf(nodeId)) {
      const { health } = this.#entry(gpu);
      if (!reported.has(this.#fleet.inventory[gpu]!.gpuId)) {
        if (!health.signs.has("absent")) this.#raise(gpu, "absent", { demand: "quarantined", text: "its node does not report it", needsReset: true, standing: true }, nowMs, nowMs);
      } else if (health.signs.has("absent")) this.restarted(gpu, "its node reports it again", nowMs, nowMs);
      else if (anew) this.restarted(gpu, "its node was started anew", nowMs, nowMs);
    }
  }

  /** Whether its node said hello without it. */
  isAbsent(gpu: number): boolean {
    return this.#entry(gpu).health.signs.has("absent");
  }

  /** The GPU that a node speaks of, or the MIG instances that it is divided into, and with an instance all others of the same GPU: they share its fate. */
  affectedBy(nodeId: NodeId, gpuId: GpuId): readonly number[] {
    const { inventory } = this.#fleet;
    const gpus = this.#gpusOf(nodeId);
    const named = gpus.find((gpu) => inventory[gpu]!.gpuId === gpuId);
    const physical = (named === undefined ? "" : inventory[named]!.parentGpuId) || gpuId;
    return gpus.filter((gpu) => inventory[gpu]!.gpuId === gpuId || inventory[gpu]!.parentGpuId === physical);
  }

  /** An attempt on `gpus` has ended in a way that says something of them. Of several any may be the one to blame. */
  ended(gpus: readonly number[], { modelId, kind, text, ratio }: HealthOutcome, nowMs: number): void {
    const fault = kind !== "succeeded";
    for (const gpu of gpus) {
      const entry = this.#entry(gpu);
      this.#peers.ended(gpu, modelId, fault, gpus.length === 1 ? ratio : 0, nowMs);
      entry.health.tried(!fault, text, nowMs);
      if (!fault || kind === "gpu_fault" || !this.#peers.failsEverywhere(gpu, modelId, nowMs)) {
        const { errorRate } = this.#fleet.health;
        entry.outcomes += 1;
        errorRate[gpu]! += ((fault ? 1 : 0) - errorRate[gpu]!) * ERROR_RATE_GAIN;
      }
      if (kind === "gpu_fault" && gpus.length === 1) this.#raise(gpu, "fault", { demand: "degraded", text: `an attempt failed by its fault: ${text}`, untilMs: nowMs + EVENT_REMEMBERED_MS }, nowMs, nowMs);
      this.#judgeErrors(gpu, entry);
      this.#settle(gpu, nowMs);
    }
  }

  /** Time passed. */
  tick(nowMs: number): void {
    this.#compare(nowMs);
    for (const gpu of [...this.#restless].sort((a, b) => a - b)) this.#settle(gpu, nowMs);
  }

  /** What changed since the last call. */
  takeTransitions(): readonly GpuTransition[] {
    if (this.#transitions.length === 0) return this.#transitions;
    const taken = this.#transitions;
    this.#transitions = [];
    return taken;
  }

  /** For people. */
  view(gpu: number): GpuHealthView {
    const { state, sinceMs, untilMs, signs, history, cause } = this.#entry(gpu).health;
    const texts = [...new Set([...(cause ? [cause.text] : []), ...[...signs.values()].map(({ text }) => text)])];
    const stays = [...signs.values()].some(({ demand }) => demand !== "degraded");
    return { state, sinceMs, untilMs: state === "quarantined" && stays ? Number.POSITIVE_INFINITY : untilMs, signs: texts, history: [...history] };
  }

  /** In the three words of the contract. */
  status(gpu: number): HealthStatus {
    const state = this.#fleet.health.state(gpu);
    if (state === "healthy") return "healthy";
    return state === "draining" || state === "quarantined" ? "critical" : "warning";
  }

  /** By index: a node lists its GPUs in the order in which they came to it. */
  #gpusOf(nodeId: NodeId): readonly number[] {
    return [...(this.#fleet.nodes.get(nodeId)?.gpus ?? [])].sort((a, b) => a - b);
  }

  /** What happened before now is judged as of then: of its quarantine only the rest is left. */
  #raise(gpu: number, name: SignName, sign: Sign, atMs: number, nowMs: number): void {
    const { health } = this.#entry(gpu);
    health.raise(name, sign);
    if (atMs < nowMs) this.#settle(gpu, Math.max(atMs, health.sinceMs));
    this.#settle(gpu, nowMs);
  }

  #judgeErrors(gpu: number, { health, outcomes }: Entry): void {
    const { errorThreshold, health: limits } = this.#settings;
    const rate = this.#fleet.health.errorRate[gpu]!;
    const share = `${(rate * 100).toFixed(0)} % of the last attempts failed`;
    if (rate > errorThreshold && outcomes >= limits.minOutcomes && health.state !== "quarantined") {
      if (this.#mayEject(gpu)) health.raise("errors", { demand: "quarantined", text: share, statistical: true });
      else health.raise("errors", { demand: "degraded", text: `${share}; it stays since as many as may be are out already`, standing: true });
    } else if (rate > errorThreshold / 2) {
      health.raise("errors", { demand: "degraded", text: share, standing: true });
    } else if (rate <= errorThreshold / 4) {
      health.clear("errors");
    }
  }

  /** `slowness` is NaN for a GPU that cannot be compared. */
  #judgeSpeed(gpu: number, { health }: Entry, slowness: number): void {
    const { slowRatio, ejectRatio } = this.#settings.health;
    const text = `it takes ${slowness.toFixed(1)} times as long as others of its kind`;
    if (slowness >= ejectRatio && health.state !== "quarantined" && this.#mayEject(gpu)) health.raise("slow", { demand: "quarantined", text, statistical: true });
    else if (slowness >= slowRatio) health.raise("slow", { demand: "degraded", text, standing: true });
    else if (!(slowness >= Math.max(1, slowRatio * NO_LONGER_SLOW))) health.clear("slow");
  }

  /** Of the connected GPUs only a share may be out for what outcomes suggest. One in quarantine or probation is not asked again. */
  #mayEject(gpu: number): boolean {
    let connected = 0;
    for (const node of this.#fleet.nodes.values()) if (node.connected) connected += node.gpus.length;
    const out = this.#outByStatistics.size - (this.#outByStatistics.has(gpu) ? 1 : 0);
    return out + 1 <= Math.max(1, Math.floor(connected * this.#settings.health.maxEjectedShare));
  }

  /** Error rates age, and speeds are compared: of some GPUs at each call. */
  #compare(nowMs: number): void {
    const { from, to } = this.#comparison.advance(this.#entries.length, nowMs);
    const left = Math.exp(-this.#comparison.sinceLastMs / ERROR_RATE_TAU_MS);
    for (let gpu = from; gpu < to; gpu += 1) {
      const entry = this.#entries[gpu];
      if (!entry || entry.outcomes === 0) continue;
      this.#fleet.health.errorRate[gpu]! *= left;
      this.#judgeErrors(gpu, entry);
      this.#judgeSpeed(gpu, entry, this.#comparison.slowness(gpu));
      this.#settle(gpu, nowMs);
    }
  }

  #entry(gpu: number): Entry {
    let entry = this.#entries[gpu];
    if (!entry) {
      const { gpuCooldownMs: cooldownMs, health } = this.#settings;
      entry = { health: new GpuHealth({ cooldownMs, ...health }), samples: new SampleSigns(), outcomes: 0, toldAt: undefined };
      this.#entries[gpu] = entry;
    }
    return entry;
  }

  /** Lets the machine judge, and writes down what came of it. */
  #settle(gpu: number, nowMs: number): void {
    const entry = this.#entry(gpu);
    const { health } = entry;
    const before = this.#fleet.health.state(gpu);
    health.settle(this.#fleet.active[gpu]!, nowMs);
    if (health.state !== before && health.state === "quarantined") this.#forgive(gpu, entry);
    if (health.isRestless) this.#restless.add(gpu);
    else this.#restless.delete(gpu);
    if (health.isOutByStatistics) this.#outByStatistics.add(gpu);
    else this.#outByStatistics.delete(gpu);
    this.#tell(gpu, entry);
    const { slots, factor } = this.#fleet.health;
    const verdict = {
      state: health.state,
      slots: health.slotsAt(this.#settings.maxConcurrentTasksPerGpu, nowMs),
      probing: health.isProbing,
      factor: Math.round(health.factorAt(nowMs) * 20) / 20,
    };
    const same = verdict.state === before && verdict.slots === slots[gpu] && verdict.factor === factor[gpu] && verdict.probing === this.#fleet.health.isProbing(gpu);
    if (!same) this.#fleet.judged(gpu, verdict);
  }

  /** What it did before does not count when it comes back, or its old record would throw it out again. */
  #forgive(gpu: number, entry: Entry): void {
    entry.outcomes = 0;
    this.#fleet.health.errorRate[gpu] = 0;
    this.#peers.forget(gpu);
    this.#comparison.forget(gpu);
    for (const name of ["errors", "slow", "fault"] as const) entry.health.clear(name);
  }

  #tell(gpu: number, entry: Entry): void {
    const { history } = entry.health;
    const from = entry.toldAt === undefined ? 0 : history.lastIndexOf(entry.toldAt) + 1;
    for (const transition of history.slice(from)) this.#transitions.push({ ...transition, gpuId: this.#fleet.inventory[gpu]!.gpuId });
    entry.toldAt = history.at(-1);
    if (this.#transitions.length > MAX_WAITING_TRANSITIONS) this.#transitions.splice(0, this.#transitions.length - MAX_WAITING_TRANSITIONS);
  }
}
