// The workload of a scenario: opens its sources, puts those of the same hours on one clock, gives each request a user and a
// model, weighs the mix, and scales it. Called by whoever runs simulations; the simulation itself only sees the `Workload`.
import { assert } from "../../lib/assert.js";
import { modelShape } from "../../simulated-gpu/models.js";
import { plannedGpus } from "../fleets.js";
import { align } from "./align.js";
import type { Tenant, Workload } from "./arrival.js";
import { compose, type Part } from "./compose.js";
import { between, only } from "./cut.js";
import { loop, renamed, reseeded } from "./loop.js";
import { compress, pace, superpose } from "./scale.js";
import type { Flood, Scenario, ScenarioPart } from "./scenario.js";
import { openSource, type OpenSource } from "./sources.js";
import { split } from "./split.js";
import { changed, type Stream } from "./stream.js";
import { workRate } from "./work.js";

export interface BuildOptions {
  /** Multiple of the traces' own load, above 0. */
  readonly load: number;
  /** How the multiple is reached, see scale.ts. */
  readonly scaling: "compress" | "superpose";
  /** How long requests arrive, ms; the scenario's own unless given. */
  readonly durationMs?: number;
}

/** All that a part's source has, on its clock, by tenant. */
interface PreparedPart {
  readonly part: ScenarioPart;
  readonly stream: Stream;
  /** By sender of the stream. */
  readonly tenants: readonly Tenant[];
  /** Nominal GPU time it asks for a second, ms. */
  readonly workRate: number;
}

/**
 * Reads the scenario's traces from `folder` (null for none) and composes them. Each seed of
 * `arrivals` enters the traces elsewhere and gives the requests to other users. A user that asks for several models is as many
 * tenants of one name. Rejects with a `TraceError` when a trace is missing or cannot be read.
 */
export async function buildWorkload(scenario: Scenario, folder: string | null, options: BuildOptions): Promise<Workload> {
  const durationMs = options.durationMs ?? scenario.durationMs;
  assert(options.load > 0 && durationMs > 0, "a load and a duration are above 0");
  const prepared = await prepare(scenario, folder);
  const parts = prepared.flatMap(({ part, stream, tenants, workRate: rate }): Part[] => {
    const ring = superpose(loop(stream), shareOf(part, rate, prepared, plannedGpus(scenario.fleet)), "share");
    const load = part.scales ? options.load : 1;
    const scaled = options.scaling === "compress" ? compress(ring, load) : superpose(ring, load, "load");
    const flooding = scenario.floods.filter((flood) => flood.part === part.name);
    return [scaled, ...flooding.map((flood) => floodOf(flood, scaled, tenants))].map((each) => ({ stream: each, tenants }));
  });
  return compose(parts, durationMs);
}

async function prepare(scenario: Scenario, folder: string | null): Promise<PreparedPart[]> {
  const open: OpenSource[] = [];
  for (const { source } of scenario.parts) open.push(await openSource(source, folder));
  const alignments = align(open.map(({ startMs }) => startMs));
  const ends = open.map(({ spanMs }, index) => ({ group: alignments[index]?.group, endMs: (alignments[index]?.leadMs ?? 0) + spanMs }));
  return open.map((source, index) => {
    const { leadMs, group } = alignments[index] ?? { leadMs: 0, group: index };
    const part = scenario.parts[index];
    assert(part !== undefined, "every source is a part's");
    // Sources of one group last equally long, so that every seed enters them at the same moment.
    const periodMs = Math.max(...ends.filter((end) => end.group === group).map(({ endMs }) => endMs));
    const { stream, tenants } = withTenants(part, fitting(part, pace(source.stream(leadMs, periodMs), part.pace)));
    return { part, stream, tenants, workRate: workRate(stream, tenants.map(({ modelId }) => tokenWeight(modelId))) };
  });
}

/** Without the jobs that are too long or too wide for the scenario. */
function fitting({ maxWorkMs, maxGpus }: ScenarioPart, stream: Stream): Stream {
  return changed(stream, () => (request) => (request.workMs <= maxWorkMs && request.gpus <= maxGpus ? request : null));
}

/** The stream with a sender for each user and model, and the tenants that these are. */
function withTenants({ type, users }: ScenarioPart, stream: Stream): { readonly stream: Stream; readonly tenants: readonly Tenant[] } {
  const both = users.flatMap(({ name, priority, slo, weight, senders, models }) => {
    const total = Object.values(models).reduce((sum, share) => sum + share, 0);
    return Object.entries(models).map(([modelId, share]) => ({
      tenant: { name, modelId, type, priority, slo } satisfies Tenant,
      share: { name: `${name} ${modelId}`, weight: (weight * share) / total, senders },
    }));
  });
  return { stream: split(stream, both.map(({ share }) => share)), tenants: both.map(({ tenant }) => tenant) };
}

/** How heavy a model's tokens are, against one with 8 billion active parameters. */
function tokenWeight(modelId: string): number {
  return modelShape(modelId).activeParameters / 8e9;
}

/** How much of the source a part takes; above 1, copies of it. */
function shareOf({ amount }: ScenarioPart, rate: number, all: readonly PreparedPart[], fleetGpus: number): number {
  switch (amount.kind) {
    case "share":
      return amount.share;
    case "work": {
      const others = all.filter(({ part }) => amount.of.includes(part.name));
      return (amount.ratio * others.reduce((sum, other) => sum + other.workRate, 0)) / rate;
    }
    case "gpus":
      return (amount.share * fleetGpus * 1000) / rate;
  }
}

/** What a flooding user sends beyond its usual: more of its own kind, from elsewhere in the trace. */
function floodOf({ user, fromMs, toMs, factor }: Flood, stream: Stream, tenants: readonly Tenant[]): Stream {
  assert(factor > 1 && tenants.some(({ name }) => name === user), "a flood is more than usual, of a user of its part");
  const own = only(stream, (sender) => tenants[sender]?.name === user);
  return between(compress(reseeded(renamed(own, "flood"), "flood"), factor - 1), fromMs, toMs);
}
