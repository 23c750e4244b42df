// The section `agents` of the router's configuration: how long whom to wait for, and what agents are told. Used by router-config.ts.
import { z } from "zod";
import { DEFAULT_CORE_SETTINGS as defaults, type CoreSettings } from "../core/settings.js";
import { wholeMs } from "./whole-ms.js";

/** Two clocks that are no worse than quartz run within this of each other. */
const CLOCK_RATE_MARGIN = 1.01;

export const agentsSection = z
  .strictObject({
    heartbeat_interval: z.number().min(0.05).max(10).default(0.25),
    telemetry_interval: z.number().min(0.1).max(60).default(defaults.telemetryIntervalMs / 1000),
    node_lost_after: z.number().min(0.2).max(600).default(defaults.nodeLostAfterMs / 1000),
    reconnect_grace: z.number().min(0).max(600).default(defaults.reconnectGraceMs / 1000),
    takeover_grace: z.number().min(0).max(3600).default(defaults.takeoverGraceMs / 1000),
    lease: z.number().min(0.5).max(600).default(10),
    stop_allowance: z.number().min(0).max(600).default(2),
    forget_after: z.number().min(60).max(31_536_000).default(defaults.forgetAfterMs / 1000),
    max_result_bytes: z.int().min(1024).max(64 << 20).default(8 << 20),
  })
  .refine((agents) => agents.lease >= 3 * agents.heartbeat_interval, { path: ["lease"], message: "must be at least three heartbeat_intervals" })
  .refine((agents) => agents.node_lost_after >= 3 * agents.heartbeat_interval, { path: ["node_lost_after"], message: "must be at least three heartbeat_intervals" })
  .prefault({});

type AgentsSection = z.output<typeof agentsSection>;

/** What the router promises its agents; sent with every welcome. */
export interface AgentTerms {
  /** An agent whose messages were not read for this long stops work that must not run twice. */
  readonly leaseMs: number;
  /** An agent that is silent for this long is not waited for. */
  readonly nodeLostAfterMs: number;
  readonly heartbeatIntervalMs: number;
  readonly telemetryIntervalMs: number;
  readonly maxResultBytes: number;
}

type Leases = Pick<CoreSettings, "telemetryIntervalMs" | "nodeLostAfterMs" | "reconnectGraceMs" | "takeoverGraceMs" | "fencedAfterMs" | "forgetAfterMs">;

/** What the core needs to know of them. */
export function leasesOf(file: AgentsSection): Leases {
  return {
    telemetryIntervalMs: wholeMs(file.telemetry_interval),
    nodeLostAfterMs: wholeMs(file.node_lost_after),
    reconnectGraceMs: file.reconnect_grace * 1000,
    takeoverGraceMs: file.takeover_grace * 1000,
    forgetAfterMs: file.forget_after * 1000,
    fencedAfterMs: Math.ceil(file.lease * 1000 * CLOCK_RATE_MARGIN + file.stop_allowance * 1000),
  };
}

/** What agents are told, and their streams are judged by. */
export function agentTermsOf(file: AgentsSection): AgentTerms {
  return {
    leaseMs: wholeMs(file.lease),
    nodeLostAfterMs: wholeMs(file.node_lost_after),
    heartbeatIntervalMs: wholeMs(file.heartbeat_interval),
    telemetryIntervalMs: wholeMs(file.telemetry_interval),
    maxResultBytes: file.max_result_bytes,
  };
}
