// How often limits refused or held the requests of each user and team since the start of the router. Not durable. Part of quotas.ts.
import type { LimitName, OverLimit, SubjectKind } from "../model/quota.js";

/** How often a limit refused a request or kept one waiting, or would have in shadow mode, since the router started. */
export type LimitCounts = ReadonlyMap<LimitName, number>;

/** Bound on users and teams; above it counting begins anew. */
const MAX_SUBJECTS = 100_000;

export class LimitTally {
  readonly #counts = new Map<string, Map<LimitName, number>>();

  count({ name, subject, subjectId }: Pick<OverLimit, "name" | "subject" | "subjectId">): void {
    const key = `${subject}\n${subjectId}`;
    let counts = this.#counts.get(key);
    if (!counts) {
      if (this.#counts.size >= MAX_SUBJECTS) this.#counts.clear();
      counts = new Map();
      this.#counts.set(key, counts);
    }
    counts.set(name, (counts.get(name) ?? 0) + 1);
  }

  of(subject: SubjectKind, subjectId: string): LimitCounts {
    return this.#counts.get(`${subject}\n${subjectId}`) ?? new Map<LimitName, number>();
  }
}
