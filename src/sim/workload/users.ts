// Gives the requests of a part's source to the part's users: by their senders or by lot, and to a model each. Called by build.ts.
import type { Tenant } from "./arrival.js";
import type { ScenarioPart } from "./scenario.js";
import { split } from "./split.js";
import type { Stream } from "./stream.js";
import { TraceError } from "./trace-error.js";
import type { Survey } from "./work.js";

/** A stream whose senders are tenants: a user with a model each. */
export interface OwnedStream {
  readonly stream: Stream;
  readonly tenants: readonly Tenant[];
}

/** The stream with a sender for each user and model. Throws a `TraceError` for a user of senders that the source does not have. */
export function withUsers(part: ScenarioPart, stream: Stream): OwnedStream {
  const { type, users } = part;
  for (const { name, senders = [] } of users) {
    const strange = senders.find((sender) => !stream.senders.includes(sender));
    if (strange !== undefined) throw new TraceError(`the user "${name}" of the part "${part.name}" has the sender "${strange}", which ${part.source} does not: ${known(stream)}`);
  }
  const both = users.flatMap(({ name, priority, slo, weight, senders, models }) => {
    const total = Object.values(models).reduce((sum, share) => sum + share, 0);
    return Object.entries(models).map(([modelId, share]) => ({
      tenant: { name, modelId, type, priority, slo } satisfies Tenant,
      share: { name: `${name} ${modelId}`, weight: (weight * share) / total, senders },
    }));
  });
  return { stream: split(stream, both.map(({ share }) => share)), tenants: both.map(({ tenant }) => tenant) };
}

/** Throws a `TraceError` for a part, and for a user with senders of its own, that has no request at all. */
export function checkUsers(part: ScenarioPart, tenants: readonly Tenant[], { requests, whole }: Survey): void {
  if (requests.every((count) => count === 0)) throw new TraceError(`the part "${part.name}" has no request of ${part.source} left: ${limits(part)}`);
  for (const { name, senders } of part.users) {
    const own = requests.filter((_, tenant) => tenants[tenant]?.name === name).reduce((sum, count) => sum + count, 0);
    if (whole && senders !== undefined && own === 0) throw new TraceError(`the user "${name}" of the part "${part.name}" has no request of ${part.source} left: ${limits(part)}`);
  }
}

const MOST_NAMED = 20;

function known({ senders }: Stream): string {
  const named = senders.filter((sender) => sender !== "");
  if (named.length === 0) return "it names no senders: leave senders out, and requests are given to users by lot";
  return `take some of ${named.slice(0, MOST_NAMED).join(", ")}${named.length > MOST_NAMED ? ` and ${named.length - MOST_NAMED} more` : ""}`;
}

function limits({ maxWorkMs, maxGpus }: ScenarioPart): string {
  return `max_gpus is ${maxGpus}${Number.isFinite(maxWorkMs) ? ` and max_work_seconds ${maxWorkMs / 1000}` : ""}, so all of them are left out`;
}
