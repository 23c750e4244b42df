// A scenario by its name or from a YAML file. The file has the shape of `Scenario` in snake_case; what is left out is as in the main scenario.
import path from "node:path";
import { z } from "zod";

import { schemaTrouble } from "../../config/config-trouble.js";
import { readYaml } from "../../config/read-yaml.js";
import type { SimulatedFaults } from "../../sim/faults.js";
import { SCENARIOS, scenarioNamed } from "../../sim/scenarios.js";
import { DEFAULT_FAULTS } from "../../sim/set-up.js";
import type { FleetPlan, Scenario } from "../../sim/workload/scenario.js";
import type { Field } from "../../sim/workload/formats/layouts.js";
import { FORMAT_NAMES, isOwnSource, sourceNames, type SourceName, type SourceReading } from "../../sim/workload/sources.js";
import { GPU_KIND_NAMES } from "../../simulated-gpu/gpu-kinds.js";
import { MODEL_NAMES } from "../../simulated-gpu/models.js";
import { CliFailure, usageFailure } from "../failure.js";

const word = z.string().min(1).max(128);
const positive = z.number().positive().max(1e9);
const count = z.int().min(1).max(16_384);

const slo = z
  .strictObject({ first_output_seconds: positive, total_floor_seconds: positive, total_factor: positive })
  .transform((of) => ({ firstOutputMs: of.first_output_seconds * 1000, totalFloorMs: of.total_floor_seconds * 1000, totalFactor: of.total_factor }));

const user = z.strictObject({
  name: word,
  priority: z.int().min(1).max(5).default(3),
  slo: slo.nullable().default(null),
  weight: positive.default(1),
  senders: z.array(z.string()).min(1).optional(),
  models: z.record(z.string(), positive).refine((models) => Object.keys(models).length > 0, "needs at least one model").optional(),
});

const amount = z.discriminatedUnion("kind", [
  z.strictObject({ kind: z.literal("share"), share: positive }),
  z.strictObject({ kind: z.literal("work"), ratio: positive, of: z.array(word).min(1) }),
  z.strictObject({ kind: z.literal("gpus"), share: z.number().positive().max(1) }),
]);

/** By field of a trace the name of its column in this file, as both are typed. */
const COLUMNS = { time: "time", input_tokens: "inputTokens", output_tokens: "outputTokens", hashes: "hashes", model: "model", sender: "sender", session: "session", gpus: "gpus", duration: "duration" } as const satisfies Readonly<Record<string, Field>>;

const reading = {
  format: z.enum(FORMAT_NAMES).optional(),
  time_unit: z.enum(["s", "ms", "us", "ns"]).optional(),
  grid_seconds: z.number().min(0).max(3600).optional(),
  from_minutes: z.number().min(0).optional(),
  to_minutes: positive.optional(),
  columns: z.partialRecord(z.enum(Object.keys(COLUMNS) as (keyof typeof COLUMNS)[]), z.string().min(1)).optional(),
};

const part = z.strictObject({
  name: word,
  ...reading,
  model_map: z.record(z.string(), z.string()).refine((map) => Object.keys(map).length > 0, "needs at least one model").optional(),
  source: z.string().refine((name): name is SourceName => isOwnSource(name) || sourceNames().some((known) => known === name), `must be one of ${sourceNames().join(", ")}, or file:PATH`),
  type: z.string().regex(/^[a-z][a-z0-9_-]{0,63}$/).default("inference"),
  users: z.array(user).min(1),
  amount: amount.default({ kind: "share", share: 1 }),
  pace: positive.default(1),
  max_work_seconds: positive.optional(),
  max_gpus: count.default(8),
  scales: z.boolean().default(true),
});

/** What is left out is as usual; DEFAULT_FAULTS says how. */
const faults = z
  .strictObject({
    stragglers: z.number().min(0).max(1).default(DEFAULT_FAULTS.stragglers),
    slowdown: z.number().min(1).max(1000).default(DEFAULT_FAULTS.slowdown),
    gpu_failures: z.int().min(0).max(1000).default(DEFAULT_FAULTS.gpuFailures),
    broken_seconds: positive.default(DEFAULT_FAULTS.brokenMs / 1000),
    flaky: z.strictObject({ gpus: count, error_rate: z.number().min(0).max(1) }).optional(),
  })
  .transform((of): SimulatedFaults => ({
    stragglers: of.stragglers,
    slowdown: of.slowdown,
    gpuFailures: of.gpu_failures,
    brokenMs: of.broken_seconds * 1000,
    ...(of.flaky && { flaky: { gpus: of.flaky.gpus, errorRate: of.flaky.error_rate } }),
  }));

const schema = z.strictObject({
  name: word,
  title: z.string().min(1).max(200).optional(),
  notes: z.array(z.string()).default([]),
  fleet: z
    .strictObject({
      groups: z.array(z.strictObject({ kind: z.enum(GPU_KIND_NAMES), gpus: count, nodes: count.default(1) })).min(1).optional(),
      openb_gpus: count.optional(),
      nodes: z.string().min(1).optional(),
      kinds: z.record(z.string(), z.enum(GPU_KIND_NAMES)).optional(),
    })
    .refine(({ groups, openb_gpus }) => (groups === undefined) !== (openb_gpus === undefined), "needs either groups or openb_gpus")
    .refine(({ groups, nodes, kinds }) => groups === undefined || (nodes ?? kinds) === undefined, "nodes and kinds go with openb_gpus")
    .transform(({ groups, openb_gpus, nodes, kinds }): FleetPlan => (groups === undefined ? { openbGpus: openb_gpus ?? 0, ...(nodes && { nodes }), ...(kinds && { kinds }) } : { groups })),
  parts: z.array(part).min(1).max(32),
  floods: z.array(z.strictObject({ part: word, user: word, from_minutes: z.number().min(0), to_minutes: positive, factor: z.number().gt(1) })).default([]),
  model_load_speed: positive.default(1),
  minutes: positive.default(20),
  faults: faults.optional(),
});

/** The scenario that is named, or that a .yaml file describes. Throws a failure that says what is wrong. */
export function openScenario(name: string): Scenario {
  const known = scenarioNamed(name);
  if (known) return known;
  if (!/\.ya?ml$/i.test(name)) throw usageFailure(`there is no scenario "${name}": take one of ${SCENARIOS.map((each) => each.name).join(", ")}, or give a .yaml file`);
  return readScenario(name);
}

function readScenario(file: string): Scenario {
  const fail = (trouble: string): never => {
    throw new CliFailure(`${file} ${trouble}\nSee docs/simulator.md for a scenario file.`);
  };
  const written = readYaml(file, fail);
  const parsed = schema.safeParse(written);
  if (!parsed.success) return fail(`is no scenario:\n${schemaTrouble(schema, written, parsed.error)}`);
  const { data } = parsed;
  const beside = (place: string): string => path.resolve(path.dirname(file), place);
  const modelsOf = ({ users, model_map }: z.infer<typeof part>): string[] => [...new Set([...Object.values(model_map ?? {}), ...users.flatMap((each) => Object.keys(each.models ?? {}))])];
  const models = [...new Set(data.parts.flatMap(modelsOf))];
  for (const each of data.parts) {
    const wordless = each.users.find((one) => (one.models === undefined) === (each.model_map === undefined));
    if (wordless !== undefined) fail(`says ${each.model_map === undefined ? "not" : "twice"} which models "${wordless.name}" of "${each.name}" asks for: give the part a model_map, for a trace that names models, or each of its users models`);
    if ((each.to_minutes ?? Number.POSITIVE_INFINITY) <= (each.from_minutes ?? 0)) fail(`takes a window of "${each.name}" that ends before it begins: to_minutes must be after from_minutes`);
    const strange = each.type === "training" ? undefined : modelsOf(each).find((model) => !MODEL_NAMES.includes(model));
    if (strange !== undefined) fail(`asks for the model "${strange}", which is not known: take one of ${MODEL_NAMES.join(", ")}`);
    const others = each.amount.kind === "work" ? each.amount.of : [];
    const missing = others.find((other) => !data.parts.some(({ name }) => name === other));
    if (others.includes(each.name)) fail(`takes as much of "${each.name}" as of itself: name other parts`);
    if (missing !== undefined) fail(`takes as much of "${each.name}" as of the part "${missing}", which it does not have`);
    if (new Set(each.users.map(({ senders }) => senders === undefined)).size > 1) fail(`names the senders of some users of "${each.name}" and not of others: name them for all or for none`);
  }
  const twice = data.parts.find(({ name }, index) => data.parts.findIndex((other) => other.name === name) !== index);
  if (twice !== undefined) fail(`has two parts with the name "${twice.name}": give each its own`);
  for (const flood of data.floods) {
    const known = data.parts.some(({ name, users }) => name === flood.part && users.some((each) => each.name === flood.user));
    if (!known || flood.to_minutes <= flood.from_minutes) fail(`has a flood of "${flood.user}" in "${flood.part}" that is of none of its users, or ends before it begins`);
  }
  return {
    name: data.name,
    title: data.title ?? `${data.name} (${path.basename(file)})`,
    notes: data.notes,
    fleet: "nodes" in data.fleet && data.fleet.nodes !== undefined ? { ...data.fleet, nodes: beside(data.fleet.nodes) } : data.fleet,
    models,
    parts: data.parts.map(({ name, type, amount: taken, pace, scales, max_work_seconds, max_gpus, users, source, model_map, ...told }) => ({
      name,
      type,
      amount: taken,
      pace,
      scales,
      reading: readingOf(told),
      ...(model_map && { modelMap: model_map }),
      source: isOwnSource(source) ? (`file:${beside(source.slice("file:".length))}` as const) : source,
      users: users.map(({ senders, models: own = {}, ...each }) => ({ ...each, models: own, ...(senders && { senders }) })),
      maxWorkMs: max_work_seconds === undefined ? Number.POSITIVE_INFINITY : max_work_seconds * 1000,
      maxGpus: max_gpus,
    })),
    floods: data.floods.map((flood) => ({ part: flood.part, user: flood.user, fromMs: flood.from_minutes * 60_000, toMs: flood.to_minutes * 60_000, factor: flood.factor })),
    modelLoadSpeed: data.model_load_speed,
    durationMs: data.minutes * 60_000,
    ...(data.faults && { faults: data.faults }),
  };
}

function readingOf({ format, time_unit, grid_seconds, from_minutes, to_minutes, columns }: Pick<z.infer<typeof part>, keyof typeof reading>): SourceReading {
  return {
    ...(format && { format }),
    ...(time_unit && { timeUnit: time_unit }),
    ...(grid_seconds !== undefined && { gridMs: grid_seconds * 1000 }),
    ...(from_minutes !== undefined && { fromMs: from_minutes * 60_000 }),
    ...(to_minutes !== undefined && { toMs: to_minutes * 60_000 }),
    ...(columns && { columns: Object.fromEntries(Object.entries(columns).map(([field, title]) => [COLUMNS[field as keyof typeof COLUMNS], title])) }),
  };
}
