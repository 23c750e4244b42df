// Quotas and use as the API asks for them. Reads the engine's state; changes go through the engine as events.
import type { QuotaChange, QuotaPage, QuotaPort, QuotasFull, QuotaSubject, QuotaView, UsageView } from "../api/quota-port.js";
import { NO_LIMITS, type LimitName, type QuotaOverride } from "../core/model/quota.js";
import { Account } from "../core/quota/account.js";
import type { Quotas } from "../core/quota/quotas.js";
import type { Clock } from "./clock.js";
import type { EngineLoop } from "./engine-loop.js";

/** As many as one call may name. */
const MAX_MODELS = 1_000;

export class QuotaViews implements QuotaPort {
  readonly #loop: EngineLoop;
  readonly #clock: Clock;

  constructor(loop: EngineLoop, clock: Clock) {
    this.#loop = loop;
    this.#clock = clock;
  }

  get #quotas(): Quotas {
    return this.#loop.engine.state.quotas;
  }

  quota({ subject, subjectId }: QuotaSubject): QuotaView {
    const quotas = this.#quotas;
    const { defaults, gpuTimePeriodMs, mode } = quotas.settings;
    const known = subject === "user" ? quotas.user(subjectId) : quotas.team(subjectId);
    const account = known ?? new Account(subject, subjectId, subject === "user" ? defaults : NO_LIMITS, 0);
    const nowMs = this.#clock.now();
    const used: { readonly [K in Exclude<LimitName, "model_requests">]: number } = {
      concurrent_requests: account.running,
      gpus: account.onGpu.size,
      priority_requests: account.runningPriority,
      gpu_time: account.gpuUsedMs(nowMs, gpuTimePeriodMs) + account.reservedGpuMs,
      requests_per_minute: account.minute.used(nowMs),
      requests_per_day: account.day.used(nowMs),
      queued_requests: account.queued,
      queued_bytes: account.queuedBytes,
    };
    return {
      subject,
      subjectId,
      mode,
      team: account.team?.id ?? "",
      weight: (subject === "user" ? quotas.weights.get(subjectId) : undefined) ?? 1,
      limits: account.limits,
      used,
      usedByModel: account.onModel,
      refused: quotas.countsOf(subject, subjectId),
      minuteResetAtMs: account.minute.nextDropMs(nowMs),
      dayResetAtMs: account.day.nextDropMs(nowMs),
      gpuTimeResetAtMs: quotas.nextPeriodMs(nowMs),
      entry: quotas.entry(subject, subjectId),
    };
  }

  async setQuota({ subject, subjectId, override, reset, by, reason }: QuotaChange): Promise<QuotaView | QuotasFull> {
    const before: QuotaOverride = reset ? {} : (this.#quotas.entry(subject, subjectId)?.override ?? {});
    const modelRequests = { ...before.modelRequests, ...override.modelRequests };
    if (Object.keys(modelRequests).length > MAX_MODELS) return { kind: "quotas_full", what: "models", limit: MAX_MODELS };
    const merged = { ...before, ...override, ...(Object.keys(modelRequests).length > 0 && { modelRequests }) };
    if (Object.keys(merged).length > 0 && !this.#quotas.hasRoomFor(subject, subjectId)) return { kind: "quotas_full", what: "quotas", limit: this.#quotas.settings.maxEntries };
    this.#loop.step({ kind: "set_quota", subject, subjectId, override: merged, by, reason });
    const view = this.quota({ subject, subjectId });
    await this.#loop.durable();
    return view;
  }

  quotas(after: string, atMost: number): QuotaPage<QuotaView> {
    const entries = [...this.#quotas.entries()].map(({ subject, subjectId }) => ({ subject, subjectId, name: `${subject}:${subjectId}` }));
    return page(entries, after, atMost, (entry) => this.quota(entry));
  }

  usage(userId: string, after: string, atMost: number): QuotaPage<UsageView> {
    const one = userId === "" ? null : this.#quotas.user(userId);
    const users = userId === "" ? [...this.#quotas.users()] : one ? [one] : [];
    const named = users.map((account) => ({ account, name: account.id }));
    return page(named, after, atMost, ({ account: { id, sinceMs, usage } }) => ({ userId: id, sinceMs, ...usage }));
  }
}

/** The first `atMost` of those behind `after`, by name. */
function page<T extends { readonly name: string }, V>(all: readonly T[], after: string, atMost: number, view: (one: T) => V): QuotaPage<V> {
  const behind = all.filter(({ name }) => name > after).sort((a, b) => (a.name < b.name ? -1 : 1));
  const items = behind.slice(0, atMost);
  return { items: items.map(view), lastName: behind.length > items.length ? items.at(-1)!.name : "" };
}
