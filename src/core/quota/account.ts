// What one user or team has in use and has used. Changed by quotas.ts alone, which folds the records.
import { SlidingWindow } from "./sliding-window.js";
import type { QuotaLimits, SubjectKind } from "../model/quota.js";

const MINUTE_MS = 60_000;
const DAY_MS = 86_400_000;
const MINUTE_SLOT_MS = 1_000;
const DAY_SLOT_MS = 900_000;

/** Sums since `sinceMs`; times in ms. */
export interface Usage {
  accepted: number;
  completed: number;
  failed: number;
  cancelled: number;
  /** Time on GPUs, times the GPUs of each request. */
  gpuMs: number;
  /** From acceptance to the end, of what completed. */
  responseMs: number;
}

/** An account that is not in use as plain data; what is in use follows from the live requests. */
export interface StoredAccount {
  readonly kind: SubjectKind;
  readonly id: string;
  readonly sinceMs: number;
  readonly usage: Usage;
  readonly minute: readonly number[];
  readonly day: readonly number[];
  readonly gpuUsedMs: number;
  readonly gpuUsedAtMs: number;
}

export class Account {
  readonly kind: SubjectKind;
  readonly id: string;
  readonly sinceMs: number;
  limits: QuotaLimits;
  /** A user's, whose limits count too. */
  team: Account | null = null;
  // In use by live requests.
  running = 0;
  runningPriority = 0;
  /** Requests by GPU that they are on. */
  readonly onGpu = new Map<number, number>();
  /** Requests on GPUs by model. */
  readonly onModel = new Map<string, number>();
  /** GPU time that is expected of what is on GPUs, ms. */
  reservedGpuMs = 0;
  /** Waiting for their first dispatch. */
  queued = 0;
  queuedBytes = 0;
  // Used.
  readonly minute = new SlidingWindow(MINUTE_MS, MINUTE_SLOT_MS);
  readonly day = new SlidingWindow(DAY_MS, DAY_SLOT_MS);
  readonly usage: Usage = { accepted: 0, completed: 0, failed: 0, cancelled: 0, gpuMs: 0, responseMs: 0 };
  #gpuUsedMs = 0;
  #gpuUsedAtMs = 0;

  constructor(kind: SubjectKind, id: string, limits: QuotaLimits, sinceMs: number) {
    this.kind = kind;
    this.id = id;
    this.limits = limits;
    this.sinceMs = sinceMs;
  }

  /** Nothing of it is live. */
  get isIdle(): boolean {
    return this.running === 0 && this.usage.accepted === this.usage.completed + this.usage.failed + this.usage.cancelled;
  }

  /** Whether forgetting it would give anything back too early. */
  isSpent(nowMs: number, periodMs: number): boolean {
    return this.day.used(nowMs) === 0 && this.gpuUsedMs(nowMs, periodMs) === 0;
  }

  /** GPU time charged in the period of `nowMs`, ms. A clock that was set back into the period before stays in the one that had begun. */
  gpuUsedMs(nowMs: number, periodMs: number): number {
    const ahead = Math.floor(this.#gpuUsedAtMs / periodMs) - Math.floor(nowMs / periodMs);
    return ahead === 0 || ahead === 1 ? this.#gpuUsedMs : 0;
  }

  /** Charges GPU time that was used, in the period of `atMs`. */
  chargeGpu(gpuMs: number, atMs: number, periodMs: number): void {
    const usedMs = this.gpuUsedMs(atMs, periodMs);
    this.#gpuUsedMs = usedMs + gpuMs;
    this.#gpuUsedAtMs = usedMs > 0 ? Math.max(this.#gpuUsedAtMs, atMs) : atMs;
    this.usage.gpuMs += gpuMs;
  }

  place(gpus: readonly number[], modelId: string, priority: boolean, gpuMs: number, by: 1 | -1): void {
    this.running += by;
    if (priority) this.runningPriority += by;
    this.reservedGpuMs += by * gpuMs;
    for (const gpu of gpus) count(this.onGpu, gpu, by);
    count(this.onModel, modelId, by);
  }

  /** Takes over, or gives up, all that is live of a user who joins or leaves a team. */
  merge(user: Account, by: 1 | -1): void {
    this.running += by * user.running;
    this.runningPriority += by * user.runningPriority;
    this.reservedGpuMs += by * user.reservedGpuMs;
    this.queued += by * user.queued;
    this.queuedBytes += by * user.queuedBytes;
    for (const [gpu, requests] of user.onGpu) count(this.onGpu, gpu, by * requests);
    for (const [modelId, requests] of user.onModel) count(this.onModel, modelId, by * requests);
  }

  store(): StoredAccount {
    const { kind, id, sinceMs } = this;
    return { kind, id, sinceMs, usage: { ...this.usage }, minute: this.minute.dump(), day: this.day.dump(), gpuUsedMs: this.#gpuUsedMs, gpuUsedAtMs: this.#gpuUsedAtMs };
  }

  /** Puts back what `store` gave. Only into a new account. */
  restore({ usage, minute, day, gpuUsedMs, gpuUsedAtMs }: StoredAccount): void {
    Object.assign(this.usage, usage);
    this.minute.load(minute);
    this.day.load(day);
    this.#gpuUsedMs = gpuUsedMs;
    this.#gpuUsedAtMs = gpuUsedAtMs;
  }
}

function count<K>(counts: Map<K, number>, key: K, by: number): void {
  const now = (counts.get(key) ?? 0) + by;
  if (now === 0) counts.delete(key);
  else counts.set(key, now);
}
