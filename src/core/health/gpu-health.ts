// The health of one GPU as a state machine: signs of trouble come and go, and it decides from them and the time. Pure: knows nothing of
// where signs come from (signals.ts, fleet-health.ts) or what others do with its state. Its bounds are HealthSettings.
//
//            a sign             a worse sign        a sign that needs a reset, once idle
//   healthy ───────▶ degraded ───────▶ draining ──────────────┐
//      ▲  ◀────────      ▲   ◀────────                        ▼
//      │  well for recoveryMs             any that is out ▶ quarantined ◀──┐
//      │                                                      │ cool-down  │ its probe fails: twice as long
//      └───────────────────── slow start ◀── one probe ── probation ───────┘
import type { GpuHealthState, HealthTransition } from "../model/gpu.js";

/** What a sign of trouble asks for. */
export type Demand = "degraded" | "draining" | "quarantined";

export type SignName =
  | "xid" | "lost" | "absent" | "hangs" | "temperature" | "slowdown" | "ecc" | "row_remap" | "row_remap_failed" | "retired_pages" | "unowned_memory" | "errors" | "slow" | "fault";

/** Something that is wrong, or was a short while ago. */
export interface Sign {
  readonly demand: Demand;
  /** What was seen, in words. */
  readonly text: string;
  /** Only a reset ends it: the GPU goes to quarantine once its work has ended. */
  readonly needsReset?: boolean;
  /** It lasts until it is seen to be over; otherwise a quarantine settles it. */
  readonly standing?: boolean;
  /** It passes by itself at this time, ms; never when left out. */
  readonly untilMs?: number;
  /** It was concluded from many outcomes, not seen: the share of the fleet that may be out for such reasons is limited. */
  readonly statistical?: boolean;
}

export interface HealthTimes {
  /** First time in quarantine, ms; each that follows soon is twice as long. */
  readonly cooldownMs: number;
  /** Longest, ms. */
  readonly maxCooldownMs: number;
  /** How long it has to be better before it counts as better, ms. */
  readonly recoveryMs: number;
  /** How long a GPU in probation waits for a request that can be its probe, ms. */
  readonly probePatienceMs: number;
  /** Time from the probe to all of its slots, ms. */
  readonly slowStartMs: number;
}

/** Transitions that are kept. */
const MAX_HISTORY = 16;
const RANKS: Readonly<Record<"healthy" | Demand, number>> = { healthy: 0, degraded: 1, draining: 2, quarantined: 3 };

export class GpuHealth {
  readonly #times: HealthTimes;
  readonly signs = new Map<SignName, Sign>();
  readonly history: HealthTransition[] = [];
  state: GpuHealthState = "healthy";
  sinceMs = 0;
  /** End of its quarantine at the earliest, ms. */
  untilMs = 0;
  /** Quarantines that followed each other without a long time of health between. */
  strikes = 0;
  /** Why it is in quarantine. */
  cause: { readonly text: string; readonly needsReset: boolean } | null = null;
  /** Its last quarantine began with what many outcomes suggested, and nobody had seen. */
  #statistical = false;
  /** When its probe was passed, ms; -1 before that. Only in probation. */
  rampFromMs = -1;
  /** Since when its signs ask for less than its state, ms; -1 while they do not. */
  #betterSinceMs = -1;
  #cooldownMs = 0;

  constructor(times: HealthTimes) {
    this.#times = times;
  }

  /** Notes a sign, in the place of the same sign before. */
  raise(name: SignName, sign: Sign): void {
    this.signs.set(name, sign);
  }

  clear(name: SignName): void {
    this.signs.delete(name);
  }

  /** It has one chance to show that it is well: the next request is its probe. */
  get isProbing(): boolean {
    return this.state === "probation" && this.rampFromMs < 0;
  }

  /** Not in full service for what many outcomes suggest and nobody has seen. */
  get isOutByStatistics(): boolean {
    return this.#statistical && (this.state === "quarantined" || this.state === "probation");
  }

  /** Whether it has to be looked at as time goes by. */
  get isRestless(): boolean {
    return this.state !== "healthy" || this.signs.size > 0 || this.strikes > 0;
  }

  /** Requests that it may hold of `slots`. */
  slotsAt(slots: number, nowMs: number): number {
    if (this.state === "quarantined" || this.state === "draining") return 0;
    if (this.state !== "probation") return Number.POSITIVE_INFINITY;
    return this.rampFromMs < 0 ? 1 : Math.max(1, Math.ceil(slots * this.#ramped(nowMs)));
  }

  /** Share of its slow start that is over, 0..1. */
  #ramped(nowMs: number): number {
    const { slowStartMs } = this.#times;
    return slowStartMs === 0 ? 1 : Math.min(1, (nowMs - this.rampFromMs) / slowStartMs);
  }

  /** Factor on its health in scores: what is not well goes after what is. */
  factorAt(nowMs: number): number {
    if (this.state === "degraded") return 0.5;
    if (this.state !== "probation") return this.state === "healthy" ? 1 : 0;
    return this.rampFromMs < 0 ? 0.25 : 0.5 + 0.5 * this.#ramped(nowMs);
  }

  /**
   * A request on it has succeeded, or failed by its fault. In probation that decides; a GPU that has failed again is out for longer.
   * `text` says what failed.
   */
  tried(succeeded: boolean, text: string, nowMs: number): void {
    if (this.state !== "probation") return;
    if (!succeeded) this.#quarantine({ demand: "quarantined", text: `failed in probation: ${text}`, statistical: this.#statistical }, nowMs);
    else if (this.rampFromMs < 0) this.rampFromMs = nowMs;
  }

  /** It was reset, or its node started anew: what only a reset helps is over, and the rest of a first cool-down is spared. */
  restarted(text: string, nowMs: number): void {
    for (const [name, sign] of this.signs) if (sign.needsReset) this.signs.delete(name);
    const { cause } = this;
    if (this.state === "draining" && cause?.needsReset) this.#probation(text, nowMs);
    if (this.state === "quarantined" && cause?.needsReset && this.strikes <= 1) {
      this.untilMs = nowMs;
      if (this.#worst() < RANKS.draining) this.#probation(text, nowMs);
    }
  }

  /** Draws the consequences of its signs and of the time. `active` requests are on it. Idempotent. */
  settle(active: number, nowMs: number): void {
    for (const [name, { untilMs = Number.POSITIVE_INFINITY }] of this.signs) if (untilMs <= nowMs) this.signs.delete(name);
    const worst = this.#worst();
    if (this.state === "quarantined") {
      // It happened again: the cool-down counts from there.
      if (this.#settleSigns()) this.untilMs = Math.max(this.untilMs, nowMs + this.#cooldownMs);
      if (nowMs >= this.untilMs && this.#worst() < RANKS.draining) this.#probation("its cool-down is over", nowMs);
      return;
    }
    if (worst === RANKS.quarantined) {
      this.#quarantine(this.#signOf("quarantined")!, nowMs);
      return;
    }
    if (this.state === "probation") {
      this.#settleProbation(worst, active, nowMs);
      return;
    }
    const rank = RANKS[this.state];
    if (worst === RANKS.draining && active === 0 && this.#drains()) {
      this.#quarantine(this.#signOf("draining")!, nowMs);
    } else if (worst > rank) {
      this.#become(worst === RANKS.draining ? "draining" : "degraded", this.#signOf(worst === RANKS.draining ? "draining" : "degraded")!.text, nowMs);
    } else if (worst < rank) {
      if (this.#betterSinceMs < 0) this.#betterSinceMs = nowMs;
      if (nowMs - this.#betterSinceMs >= this.#times.recoveryMs) {
        const reason = worst === RANKS.degraded ? this.#signOf("degraded")!.text : "nothing is wrong any more";
        this.#become(worst === RANKS.degraded ? "degraded" : "healthy", reason, nowMs);
      }
    } else {
      this.#betterSinceMs = -1;
    }
    if (this.state === "healthy" && this.strikes > 0 && nowMs - this.sinceMs >= this.#cooldownMs) this.strikes = 0;
  }

  #settleProbation(worst: number, active: number, nowMs: number): void {
    if (worst === RANKS.draining) {
      this.#quarantine(this.#signOf("draining")!, nowMs);
      return;
    }
    // Nobody came who could be its probe: its first requests are, a few at a time.
    if (this.rampFromMs < 0 && active === 0 && nowMs - this.sinceMs >= this.#times.probePatienceMs) this.rampFromMs = nowMs;
    if (this.rampFromMs < 0 || this.#ramped(nowMs) < 1) return;
    if (worst === RANKS.degraded) this.#become("degraded", this.#signOf("degraded")!.text, nowMs);
    else this.#become("healthy", "its slow start is over", nowMs);
  }

  /** The rank of what its signs ask for together. */
  #worst(): number {
    let worst = 0;
    for (const { demand } of this.signs.values()) worst = Math.max(worst, RANKS[demand]);
    return worst;
  }

  #signOf(demand: Demand): Sign | undefined {
    const all = [...this.signs.values()].filter((sign) => sign.demand === demand);
    return all.find(({ needsReset }) => needsReset) ?? all[0];
  }

  #drains(): boolean {
    return [...this.signs.values()].some(({ demand, needsReset }) => demand === "draining" && needsReset);
  }

  #quarantine(sign: Sign, nowMs: number): void {
    const { cooldownMs, maxCooldownMs } = this.#times;
    this.#cooldownMs = Math.min(Math.max(cooldownMs, maxCooldownMs), cooldownMs * 2 ** this.strikes);
    this.strikes += 1;
    this.untilMs = nowMs + this.#cooldownMs;
    this.cause = { text: sign.text, needsReset: sign.needsReset ?? false };
    this.#statistical = sign.statistical ?? false;
    this.#settleSigns();
    this.#become("quarantined", sign.text, nowMs);
  }

  /** A quarantine is the answer to what happened; what still is must be seen to be over. Whether there was any. */
  #settleSigns(): boolean {
    const settled = [...this.signs].filter(([, { demand, standing }]) => !standing && demand !== "degraded");
    for (const [name] of settled) this.signs.delete(name);
    return settled.length > 0;
  }

  #probation(reason: string, nowMs: number): void {
    this.rampFromMs = -1;
    this.cause = null;
    this.#become("probation", reason, nowMs);
  }

  #become(state: GpuHealthState, reason: string, nowMs: number): void {
    this.history.push({ atMs: nowMs, from: this.state, to: state, reason });
    if (this.history.length > MAX_HISTORY) this.history.shift();
    this.state = state;
    this.sinceMs = nowMs;
    this.#betterSinceMs = -1;
    if (state === "draining") this.cause = { text: reason, needsReset: this.#drains() };
    if (state === "healthy" || state === "degraded") this.cause = null;
    if (state !== "quarantined") this.untilMs = 0;
  }
}
