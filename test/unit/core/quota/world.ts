// An engine under quotas, for the tests of limits: submits for users, counts what is on GPUs.
import { Engine } from "../../../../src/core/engine.js";
import type { Record } from "../../../../src/core/records.js";
import { takeSnapshot } from "../../../../src/core/snapshot.js";
import { NO_LIMITS, type QuotaLimits, type QuotaMode, type QuotaOverride, type SubjectKind } from "../../../../src/core/model/quota.js";
import type { UserId } from "../../../../src/core/model/ids.js";
import type { SubmitOutcome } from "../../../../src/core/events.js";
import type { Request } from "../../../../src/core/model/request.js";
import { DEFAULT_CORE_SETTINGS, type CoreSettings } from "../../../../src/core/settings.js";
import { World, type spec } from "../build.js";

export const quota = (defaults: Partial<QuotaLimits> = {}, mode: QuotaMode = "enforce"): Pick<CoreSettings, "quota"> => ({
  quota: { ...DEFAULT_CORE_SETTINGS.quota, mode, defaults: { ...NO_LIMITS, ...defaults } },
});

export class QuotaWorld extends World {
  #sent = 0;

  constructor(defaults: Partial<QuotaLimits>, over: Partial<CoreSettings> = {}, mode: QuotaMode = "enforce") {
    super({ ...quota(defaults, mode), requestTimeoutMs: 0, ...over });
  }

  /** Sends one more request of a user; "alice-3" and so on. */
  send(user: string, over: Parameters<typeof spec>[1] = {}): SubmitOutcome {
    this.#sent += 1;
    const { submitted } = this.submit(`${user}-${this.#sent}`, { userId: user as UserId, ...over });
    if (!submitted) throw new Error("a submit has an outcome");
    return submitted;
  }

  set(subjectId: string, override: QuotaOverride, subject: SubjectKind = "user"): void {
    this.step({ kind: "set_quota", subject, subjectId, override, by: "admin", reason: "test" });
  }

  /** Requests of a user on GPUs. */
  on(user: string): readonly Request[] {
    return [...this.engine.state.requests.values()].filter(({ spec: { userId }, phase }) => userId === user && phase !== "queued");
  }

  waiting(user: string): readonly Request[] {
    return [...this.engine.state.requests.values()].filter(({ spec: { userId }, phase }) => userId === user && phase === "queued");
  }

  /** Ends the first of a user's requests that are on GPUs. */
  endOne(user: string, ranMs = 0): string {
    const [first] = this.on(user);
    if (!first) throw new Error(`${user} has nothing on GPUs`);
    const { requestId } = first.spec;
    this.start(requestId);
    this.nowMs += ranMs;
    this.end(requestId);
    return requestId;
  }

  /** The router dies and comes back by its records or by a snapshot; its agents still have what they had. */
  restart(as: "replay" | "snapshot"): void {
    const before = this.engine.state;
    const engine = new Engine(this.settings, as === "snapshot" ? structuredClone(takeSnapshot(before)) : null);
    if (as === "replay") for (const record of this.records) engine.replay(record);
    const nodes = [...before.fleet.nodes.values()].map(({ nodeId, gpus }) => ({
      nodeId,
      gpus: gpus.map((gpu) => before.fleet.inventory[gpu]!),
      held: before.onNode(nodeId).map(({ spec: { requestId }, attempt }) => ({ requestId, attempt })),
    }));
    Object.assign(this, { engine });
    this.step({ kind: "take_over", epoch: before.epoch + 1 });
    for (const { nodeId, gpus, held } of nodes) this.connect(nodeId, gpus, { held });
  }

  account(user: string) {
    const account = this.engine.state.quotas.user(user);
    if (!account) throw new Error(`${user} was never seen`);
    return account;
  }

  placed(): readonly Extract<Record, { kind: "placed" }>[] {
    return this.records.filter((record): record is Extract<Record, { kind: "placed" }> => record.kind === "placed");
  }
}
