// A QuotaPort in memory: it shows what a test put in, keeps what it was told to set, and has the defaults for everybody else.
import type { QuotaChange, QuotaPage, QuotaPort, QuotaSubject, QuotaView, UsageView } from "../../../src/api/quota-port.js";
import { NO_LIMITS } from "../../../src/core/model/quota.js";

export function quotaViewOf({ subject, subjectId }: QuotaSubject, overrides: Partial<QuotaView> = {}): QuotaView {
  return {
    subject,
    subjectId,
    mode: "enforce",
    team: "",
    weight: 1,
    limits: NO_LIMITS,
    used: { concurrent_requests: 0, gpus: 0, priority_requests: 0, gpu_time: 0, requests_per_minute: 0, requests_per_day: 0, queued_requests: 0, queued_bytes: 0 },
    usedByModel: new Map(),
    refused: new Map(),
    minuteResetAtMs: 0,
    dayResetAtMs: 0,
    gpuTimeResetAtMs: 86_400_000,
    entry: null,
    ...overrides,
  };
}

export function usageOf(userId: string): UsageView {
  return { userId, sinceMs: 1_000, accepted: 5, completed: 2, failed: 1, cancelled: 1, gpuMs: 90_000, responseMs: 500 };
}

export class FakeQuotas implements QuotaPort {
  /** By "user:NAME" or "team:NAME". */
  readonly views = new Map<string, QuotaView>();
  readonly users: UsageView[] = [];
  readonly changes: QuotaChange[] = [];

  show(view: QuotaView): void {
    this.views.set(`${view.subject}:${view.subjectId}`, view);
  }

  quota(subject: QuotaSubject): QuotaView {
    return this.views.get(`${subject.subject}:${subject.subjectId}`) ?? quotaViewOf(subject);
  }

  async setQuota(change: QuotaChange): Promise<QuotaView> {
    this.changes.push(change);
    return this.quota(change);
  }

  quotas(after: string, atMost: number): QuotaPage<QuotaView> {
    return pageOf([...this.views].map(([name, item]) => ({ name, item })), after, atMost);
  }

  usage(userId: string, after: string, atMost: number): QuotaPage<UsageView> {
    const seen = this.users.filter((user) => userId === "" || user.userId === userId);
    return pageOf(seen.map((item) => ({ name: item.userId, item })), after, atMost);
  }
}

function pageOf<T>(all: readonly { readonly name: string; readonly item: T }[], after: string, atMost: number): QuotaPage<T> {
  const behind = all.filter(({ name }) => name > after);
  const page = behind.slice(0, atMost);
  return { items: page.map(({ item }) => item), lastName: behind.length > page.length ? page.at(-1)!.name : "" };
}
