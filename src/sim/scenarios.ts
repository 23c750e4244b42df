// The scenarios that schedulers are compared on, as data. workload/build.ts makes their workloads, fleets.ts their fleets. All
// but those called synthetic need the public traces.
import type { TenantSlo } from "./workload/arrival.js";
import type { Scenario, ScenarioPart, ScenarioUser } from "./workload/scenario.js";
import type { SourceName } from "./workload/sources.js";

const MINUTE_MS = 60_000;

const INTERACTIVE: TenantSlo = { firstOutputMs: 2000, totalFloorMs: 2000, totalFactor: 2.5 };

const MODELS = ["llama-3.1-8b", "qwen2.5-14b", "qwen3-32b", "qwen3-30b-a3b", "mistral-7b", "gemma-2-9b", "phi-4-14b", "deepseek-coder-6.7b"];

/** A part that is taken whole, scaled with the load. */
function part(name: string, source: SourceName, users: readonly ScenarioUser[]): ScenarioPart {
  return { name, source, type: "inference", users, amount: { kind: "share", share: 1 }, pace: 1, maxWorkMs: Number.POSITIVE_INFINITY, maxGpus: 8, scales: true };
}

const CONV = part("conv", "azure-conv", [
  { name: "assistant", priority: 5, slo: INTERACTIVE, weight: 5, models: { "llama-3.1-8b": 6, "qwen2.5-14b": 3, "gemma-2-9b": 1 } },
  { name: "search", priority: 4, slo: INTERACTIVE, weight: 3, models: { "llama-3.1-8b": 5, "mistral-7b": 4, "qwen3-30b-a3b": 1 } },
  { name: "support", priority: 3, slo: INTERACTIVE, weight: 2, models: { "qwen2.5-14b": 5, "phi-4-14b": 3, "llama-3.1-8b": 2 } },
]);

// Code comes in bursts; the reviewer's are the bursts of low priority.
const CODE = part("code", "azure-code", [
  { name: "editor", priority: 4, slo: INTERACTIVE, weight: 3, models: { "deepseek-coder-6.7b": 8, "qwen3-30b-a3b": 2 } },
  { name: "reviewer", priority: 2, slo: INTERACTIVE, weight: 2, models: { "deepseek-coder-6.7b": 5, "qwen2.5-14b": 5 } },
]);

const BATCH: ScenarioPart = {
  ...part("batch", "mooncake", [{ name: "batch", priority: 1, slo: null, weight: 1, models: { "llama-3.1-8b": 5, "qwen2.5-14b": 3, "qwen3-32b": 2 } }]),
  type: "batch",
  amount: { kind: "work", ratio: 1 / 3, of: ["conv", "code"] },
};

/** `each` nodes of every kind, with `gpus` GPUs each. */
function mixed(gpus: number, each: number): Scenario["fleet"] {
  return { groups: ["H100-80GB", "A100-80GB", "L40S", "A10G"].map((kind) => ({ kind, gpus, nodes: each })) };
}

const MAIN: Scenario = {
  name: "main",
  title: "Five interactive tenants on eight models, with batch work beside them, on 32 mixed GPUs",
  notes: [
    "Conversation and code are the same real hour of two services (Azure); which request is whose, and which model it asks for, is drawn by lot.",
    "Batch work has the lengths of Mooncake's conversations, and as many as make a third of the interactive work at nominal speeds.",
    "Tenants that differ only in the model are one user.",
  ],
  fleet: mixed(8, 1),
  models: MODELS,
  parts: [CONV, CODE, BATCH],
  floods: [],
  modelLoadSpeed: 1,
  durationMs: 20 * MINUTE_MS,
};

/** The main mix with something changed. */
function variant(name: string, title: string, changes: Partial<Scenario>, note?: string): Scenario {
  return { ...MAIN, ...changes, name, title, notes: note === undefined ? MAIN.notes : [...MAIN.notes, note] };
}

function withUsers(parts: readonly ScenarioPart[], change: (user: ScenarioUser) => ScenarioUser): ScenarioPart[] {
  return parts.map((each) => ({ ...each, users: each.users.map(change) }));
}

const loose = ({ firstOutputMs, totalFloorMs, totalFactor }: TenantSlo): TenantSlo => ({ firstOutputMs: 4 * firstOutputMs, totalFloorMs: 4 * totalFloorMs, totalFactor: 4 * totalFactor });

const OF_THE_MAIN_MIX: readonly Scenario[] = [
  MAIN,
  variant("no-batch", "The main mix without batch work", { parts: [CONV, CODE] }),
  variant("one-model", "The main mix on one model", { models: MODELS.slice(0, 1), parts: withUsers(MAIN.parts, (user) => ({ ...user, models: { "llama-3.1-8b": 1 } })) }),
  variant("slow-loads", "The main mix with models that take four times as long to load", { modelLoadSpeed: 0.25 }),
  variant("loose-slo", "The main mix with four times the time", { parts: withUsers(MAIN.parts, (user) => ({ ...user, slo: user.slo === null ? null : loose(user.slo) })) }),
  variant("gpus-16", "The main mix on 16 mixed GPUs", { fleet: mixed(4, 1) }),
  variant("gpus-64", "The main mix on 64 mixed GPUs", { fleet: mixed(8, 2) }),
  variant("homogeneous", "The main mix on 32 GPUs of one kind", { fleet: { groups: [{ kind: "A100-80GB", gpus: 8, nodes: 4 }] } }),
  variant(
    "floods",
    "The main mix with two floods",
    {
      floods: [
        { part: "code", user: "reviewer", fromMs: 4 * MINUTE_MS, toMs: 7 * MINUTE_MS, factor: 10 },
        { part: "conv", user: "support", fromMs: 12 * MINUTE_MS, toMs: 14 * MINUTE_MS, factor: 10 },
      ],
    },
    "The reviewer sends ten times as much from minute 4 to 7, support from minute 12 to 14.",
  ),
];

const OPENB: Scenario = {
  name: "openb",
  title: "Interactive work beside a month of training jobs, on a cut of a real cluster",
  notes: [
    "The fleet is 128 GPUs of openb, each GPU model with its share; what G2 and G3, which its publisher does not name, are taken for is this project's own.",
    "Training is Philly's October played 60 times as fast, times and durations alike, thinned to keep 35 % of the fleet busy; it does not grow with the load.",
    "Jobs with more than 8 GPUs, or longer than 15 minutes after that, are left out; 96 % of the jobs stay, with 11 % of the GPU time. Durations are taken as on the reference kind.",
  ],
  fleet: { openbGpus: 128 },
  models: [...MODELS, "training"],
  parts: [
    CONV,
    CODE,
    {
      ...part("training", "philly", [{ name: "training", priority: 1, slo: null, weight: 1, models: { training: 1 } }]),
      type: "training",
      amount: { kind: "gpus", share: 0.35 },
      pace: 60,
      maxWorkMs: 15 * MINUTE_MS,
      scales: false,
    },
  ],
  floods: [],
  modelLoadSpeed: 1,
  durationMs: 60 * MINUTE_MS,
};

const AFFINITY: Scenario = {
  name: "affinity",
  title: "Conversations with shared prefixes on eight replicas of one model",
  notes: ["All requests of the trace share their first block of 512 tokens, a system prompt: a score that counts it sends everything to one GPU."],
  fleet: { groups: [{ kind: "H100-80GB", gpus: 8, nodes: 1 }] },
  models: MODELS.slice(0, 1),
  parts: [part("conversation", "mooncake", [{ name: "conversation", priority: 3, slo: INTERACTIVE, weight: 1, models: { "llama-3.1-8b": 1 } }])],
  floods: [],
  modelLoadSpeed: 1,
  durationMs: 55 * MINUTE_MS,
};

const STAND_INS: Partial<Record<SourceName, SourceName>> = { "azure-conv": "synthetic-conv", "azure-code": "synthetic-code", mooncake: "synthetic-batch" };

/** A scenario with made-up requests in place of the traces', and called so wherever it shows. */
function syntheticOf(scenario: Scenario): Scenario {
  return {
    ...scenario,
    name: `synthetic-${scenario.name}`,
    title: `Synthetic: ${scenario.title}`,
    notes: ["No request of this is real: arrivals and lengths are drawn from distributions fitted to public traces.", "Tenants that differ only in the model are one user."],
    parts: withUsers(scenario.parts, (user) => ({ ...user, name: `synthetic-${user.name}` })).map((each) => ({ ...each, source: STAND_INS[each.source] ?? each.source })),
    floods: scenario.floods.map((flood) => ({ ...flood, user: `synthetic-${flood.user}` })),
  };
}

/** All scenarios; the first is the one to look at first. */
export const SCENARIOS: readonly Scenario[] = [...OF_THE_MAIN_MIX, OPENB, AFFINITY, ...OF_THE_MAIN_MIX.map(syntheticOf)];

/** The scenario of that name. */
export function scenarioNamed(name: string): Scenario | undefined {
  return SCENARIOS.find((each) => each.name === name);
}
