// A simulated operator: takes GPUs and nodes out of service, has GPUs restarted, cancels others' requests, sets quotas. Does one thing at a
// time to each target, again until it is confirmed. What was confirmed to him stands, whatever happens to the router.
import type { Engine } from "../../../src/core/engine.js";
import type { Caller } from "../../../src/core/model/caller.js";
import type { GpuId, RequestId } from "../../../src/core/model/ids.js";
import { targetKey, type MaintenanceTarget } from "../../../src/core/model/maintenance.js";
import type { QuotaOverride, SubjectKind } from "../../../src/core/model/quota.js";
import { isTerminal } from "../../../src/core/model/request.js";
import type { Record } from "../../../src/core/records.js";
import type { Router } from "../../../src/router/router.js";
import type { CallerLine } from "./caller-line.js";
import type { Draw } from "./draw.js";
import type { VirtualTime } from "./virtual-time.js";
import { Violation } from "./violation.js";

/** How long he waits for an answer before he tries again, ms. */
const PATIENCE_MS = 700;

const OPERATOR: Caller = { name: "olga", address: "192.0.2.7" };

/** Whether what was confirmed stands; in words what does not, "" when it does. */
type Standing = (engine: Engine) => string;

interface Act {
  readonly what: string;
  /** To the same subject comes the next when this is confirmed. */
  readonly subject: string;
  /** Answers what stands from now on; null when that is nothing. */
  readonly run: (router: Router) => Promise<Standing | null>;
}

export interface SimulatedOperatorOptions {
  readonly time: VirtualTime;
  readonly draw: Draw;
  readonly line: CallerLine;
}

export class SimulatedOperator {
  readonly #options: SimulatedOperatorOptions;
  /** Why he asked for what he asked. */
  readonly #reasons = new Set<string>();
  /** By subject, what is under way and what comes after it. */
  readonly #acts = new Map<string, Act[]>();
  /** By subject, what was confirmed last. */
  readonly #standing = new Map<string, Standing>();
  readonly #targets = new Map<string, MaintenanceTarget>();

  constructor(options: SimulatedOperatorOptions) {
    this.#options = options;
  }

  /** Nothing is under way. */
  get idle(): boolean {
    return this.#acts.size === 0;
  }

  /** Takes a target out of service, or puts it back. Work may go on there for `drainMs`; undefined for as long as it takes. */
  maintain(target: MaintenanceTarget, on: boolean, drainMs?: number): void {
    const subject = targetKey(target);
    this.#targets.set(subject, target);
    const reason = this.#because();
    this.#do({
      what: `${on ? "takes" : "puts"} ${subject} ${on ? "out of service" : "back"}${drainMs === undefined ? "" : `, drained within ${Math.round(drainMs)} ms`}`,
      subject,
      run: async (router) => {
        const done = await router.admin.setMaintenance({ target, on, reason, estimatedDurationMs: 0, drainMs }, OPERATOR);
        return ({ state: { maintenance } }) => {
          const window = maintenance.window(target);
          if (done === null || done === "unknown_target") return window ? `${subject} is out of service again` : "";
          return window?.reason === reason && window.by.name === OPERATOR.name ? "" : `${subject} is not out of service by ${OPERATOR.name} for ${reason}`;
        };
      },
    });
  }

  /** Everything is back in service. */
  putAllBack(): void {
    for (const target of this.#targets.values()) this.maintain(target, false);
  }

  restart(gpuId: string, force: boolean, drainMs?: number): void {
    const reason = this.#because();
    this.#do({
      what: `restarts ${gpuId}${force ? " by force" : ""}`,
      subject: `restart ${gpuId}`,
      run: async (router) => {
        const answer = await router.admin.restartGpu({ gpuId: gpuId as GpuId, force, reason, drainMs }, OPERATOR);
        if (answer.kind === "refused") return null;
        const { restartId } = answer.view.restart;
        return ({ state: { maintenance } }) => {
          const restart = maintenance.restart(restartId);
          // It may be his own haste by now of which he never heard.
          return restart && restart.by.name === OPERATOR.name && this.#reasons.has(restart.reason) ? "" : `restart ${restartId} by ${OPERATOR.name} is not known`;
        };
      },
    });
  }

  cancel(requestId: string): void {
    const reason = this.#because();
    this.#do({
      what: `cancels ${requestId}`,
      subject: `request ${requestId}`,
      run: async (router) => {
        const view = await router.admin.cancelRequest(requestId as RequestId, reason, OPERATOR);
        if (!view) return null;
        return ({ state: { requests } }) => {
          const live = requests.get(requestId as RequestId);
          return !live || live.stop || isTerminal(live.phase) ? "" : `${requestId} lives on as if nobody had cancelled it`;
        };
      },
    });
  }

  /** Over what was set before. */
  setQuota(subject: SubjectKind, subjectId: string, override: QuotaOverride): void {
    const reason = this.#because();
    this.#do({
      what: `sets the quota of ${subject} ${subjectId} to ${JSON.stringify(override)}`,
      subject: `quota of ${subject} ${subjectId}`,
      run: async (router) => {
        await router.quotas.setQuota({ subject, subjectId, override, reset: false, by: OPERATOR.name, reason });
        return ({ state: { quotas } }) => {
          const entry = quotas.entry(subject, subjectId);
          return entry?.reason === reason && entry.by === OPERATOR.name ? "" : `the quota of ${subject} ${subjectId} is not what ${OPERATOR.name} set for ${reason}`;
        };
      },
    });
  }

  /** What was confirmed to him, and what he has not touched again, stands. */
  judge(engine: Engine): void {
    for (const [subject, standing] of this.#standing) {
      const broken = this.#acts.has(subject) ? "" : standing(engine);
      if (broken !== "") throw new Violation("actsOfOperatorsStand", broken);
    }
  }

  /** What is on the disk says who it was and why. */
  judgeRecord(record: Record): void {
    const broken = (why: string): never => {
      throw new Violation("actsOfOperatorsAreSigned", `${record.kind} is recorded ${why}`);
    };
    const signed = (by: string, reason: string): void => {
      if (by !== OPERATOR.name) broken(`as by ${JSON.stringify(by)}`);
      if (!this.#reasons.has(reason)) broken(`for ${JSON.stringify(reason)}`);
    };
    if (record.kind === "maintenance_set" || record.kind === "gpu_restart_requested") signed(record.by.name, record.reason);
    else if (record.kind === "quota_set") signed(record.entry.by, record.entry.reason);
    else if (record.kind === "stop_requested" && record.stop.by) signed(record.stop.by.name, record.stop.reason);
  }

  #because(): string {
    const reason = `reason ${this.#reasons.size + 1}`;
    this.#reasons.add(reason);
    return reason;
  }

  #do(act: Act): void {
    const acts = this.#acts.get(act.subject);
    if (acts) acts.push(act);
    else {
      this.#acts.set(act.subject, [act]);
      this.#ask(act);
    }
  }

  #ask(act: Act): void {
    const { time, draw, line } = this.#options;
    const wanted = (): boolean => this.#acts.get(act.subject)?.[0] === act;
    // One that comes late, when another try was confirmed, he has hung up on.
    line.call(act.what, async (router) => (wanted() ? act.run(router) : null), () => {}, (standing) => this.#confirmed(act, standing));
    time.after(PATIENCE_MS * draw.between(0.7, 1.3), null, () => wanted() && this.#ask(act));
  }

  #confirmed(act: Act, standing: Standing | null): void {
    const acts = this.#acts.get(act.subject);
    if (acts?.[0] !== act) return;
    if (standing) this.#standing.set(act.subject, standing);
    acts.shift();
    if (acts[0]) this.#ask(acts[0]);
    else this.#acts.delete(act.subject);
  }
}
