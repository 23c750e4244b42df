// Gives the requests of a part's source to the part's users: by their senders or by lot, and to a model each. Called by build.ts.
import type { Tenant } from "./arrival.js";
import type { ScenarioPart, ScenarioUser } from "./scenario.js";
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
  const mapped = part.modelMap === undefined ? null : askedBy(part, part.modelMap, stream);
  const both = users.flatMap((user) => {
    const { name, priority, slo, senders } = user;
    return modelsOf(user, mapped).map(({ modelId, weight, asked }) => ({
      tenant: { name, modelId, type, priority, slo } satisfies Tenant,
      share: { name: `${name} ${modelId}`, weight, senders, asked },
    }));
  });
  return { stream: split(stream, both.map(({ share }) => share)), tenants: both.map(({ tenant }) => tenant) };
}

/** A user's models: as its requests ask, or by lot in proportion to its own weights. */
function modelsOf({ weight, models }: ScenarioUser, mapped: ReadonlyMap<string, readonly string[]> | null): { readonly modelId: string; readonly weight: number; readonly asked: readonly string[] | undefined }[] {
  if (mapped !== null) return [...mapped].map(([modelId, asked]) => ({ modelId, weight, asked }));
  const total = Object.values(models).reduce((sum, share) => sum + share, 0);
  return Object.entries(models).map(([modelId, share]) => ({ modelId, weight: (weight * share) / total, asked: undefined }));
}

/** By simulated model the models of the source that it stands for. */
function askedBy(part: ScenarioPart, map: Readonly<Record<string, string>>, { asked = [] }: Stream): Map<string, string[]> {
  const all = [...new Set(asked)];
  if (all.every((model) => model === "")) throw new TraceError(`the part "${part.name}" has a model_map, but ${part.source} names no models: leave it out, and say which models each user asks for`);
  const found = new Map<string, string[]>();
  for (const model of all) {
    const target = (Object.hasOwn(map, model) ? map[model] : undefined) ?? map["*"];
    if (target === undefined) throw new TraceError(`the requests of ${part.source} ask for the models ${all.map(quoted).join(", ")}; the model_map of the part "${part.name}" has none for ${quoted(model)}: add it, or "*" for all others`);
    found.set(target, [...(found.get(target) ?? []), model]);
  }
  return found;
}

function quoted(model: string): string {
  return model === "" ? '"" (none)' : JSON.stringify(model);
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
  const named = [...new Set(senders)].filter((sender) => sender !== "");
  if (named.length === 0) return "it names no senders: leave senders out, and requests are given to users by lot";
  return `take some of ${named.slice(0, MOST_NAMED).join(", ")}${named.length > MOST_NAMED ? ` and ${named.length - MOST_NAMED} more` : ""}`;
}

function limits({ maxWorkMs, maxGpus }: ScenarioPart): string {
  return `max_gpus is ${maxGpus}${Number.isFinite(maxWorkMs) ? ` and max_work_seconds ${maxWorkMs / 1000}` : ""}, so all of them are left out`;
}
