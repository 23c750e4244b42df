// `gpu-router maintenance`: takes GPUs and nodes out of service and puts them back.
import type { Command } from "commander";

import {
  ListMaintenanceResponseSchema,
  RestartState,
  SetMaintenanceResponseSchema,
  type GpuRestart,
  type ListMaintenanceResponse,
  type Maintenance,
  type MaintenanceTarget,
} from "../../gen/gpurouter/v1/admin_pb.js";
import { confirm } from "./confirm.js";
import { usageFailure } from "./failure.js";
import { duration } from "./option-parsers.js";
import { countText, printable, timeText } from "./quantity-text.js";
import { CALL_DEADLINE_MS, routerCommand, withRouter, type CommandContext, type RouterOptions } from "./router-command.js";
import type { Style } from "./style.js";
import { textTable } from "./text-table.js";

interface TargetOptions extends RouterOptions {
  readonly node?: string;
}

interface SetOptions extends TargetOptions {
  readonly reason?: string;
  readonly duration?: number;
  readonly drain?: number;
  readonly yes?: true;
}

/** Adds the command and its three parts. */
export function registerMaintenance(program: Command, context: CommandContext): void {
  const group = program.command("maintenance").description("Take GPUs and nodes out of service, put them back");
  routerCommand(group, "set [gpu]", "Take a GPU, or with --node all of a node, out of service")
    .option("--node <node>", "all GPUs of this node")
    .option("--reason <words>", "shown to people")
    .option("--duration <time>", "how long it should take; shown, nothing ends by itself", duration)
    .option("--drain <time>", "how long running work may go on; without it, until it ends by itself", duration)
    .option("-y, --yes", "do not ask before work is stopped")
    .addHelpText(
      "after",
      `
New work goes elsewhere from now on. At the end of --drain, work that may run again is begun elsewhere; other work is stopped first.

Examples:
  $ gpu-router maintenance set GPU-5d2b1f0e --reason "new fan" --duration 2h
  $ gpu-router maintenance set --node gpu-node-3 --reason "kernel update" --drain 10m
  $ gpu-router maintenance end --node gpu-node-3`,
    )
    .action(async (gpu: string | undefined, options: SetOptions) => {
      await withRouter(context, options, async ({ client, terminal, style, print }) => {
        const target = targetOf(gpu, options);
        if (options.drain === 0) await confirm(terminal, options.yes === true, `Work on ${nameOf(target)} is stopped now.`);
        const response = await client.admin.setMaintenance(
          {
            target: { target },
            on: true,
            reason: options.reason ?? "",
            estimatedDurationMs: BigInt(options.duration ?? 0),
            ...(options.drain !== undefined && { drainMs: BigInt(options.drain) }),
          },
          { deadlineMs: CALL_DEADLINE_MS },
        );
        const { maintenance } = response;
        const text = maintenance ? `${nameOf(target)} is out of service${drainText(maintenance)}\n` : "";
        return await print(SetMaintenanceResponseSchema, response, () => `${text}${style.dim(`  put it back: gpu-router maintenance end ${argumentOf(target)}`)}\n`);
      });
    });
  routerCommand(group, "end [gpu]", "Put a GPU, or with --node all of a node, back into service")
    .option("--node <node>", "all GPUs of this node")
    .option("--reason <words>", "kept with the record")
    .addHelpText("after", "\nExamples:\n  $ gpu-router maintenance end GPU-5d2b1f0e")
    .action(async (gpu: string | undefined, options: SetOptions) => {
      await withRouter(context, options, async ({ client, print }) => {
        const target = targetOf(gpu, options);
        const response = await client.admin.setMaintenance({ target: { target }, on: false, reason: options.reason ?? "" }, { deadlineMs: CALL_DEADLINE_MS });
        return await print(SetMaintenanceResponseSchema, response, () => `${nameOf(target)} is back in service\n`);
      });
    });
  routerCommand(group, "list", "Show what is out of service, and restarts of GPUs")
    .addHelpText("after", "\nExamples:\n  $ gpu-router maintenance list\n  $ gpu-router maintenance list --json | jq -r '.maintenance[].gpu_ids[]'")
    .action(async (options: RouterOptions) => {
      await withRouter(context, options, async ({ client, style, print }) => {
        const response = await client.admin.listMaintenance({}, { deadlineMs: CALL_DEADLINE_MS });
        return await print(ListMaintenanceResponseSchema, response, () => listText(response, style));
      });
    });
}

type Target = Exclude<MaintenanceTarget["target"], { case: undefined }>;

function targetOf(gpu: string | undefined, { node }: TargetOptions): Target {
  if (gpu !== undefined && node === undefined) return { case: "gpuId", value: gpu };
  if (gpu === undefined && node !== undefined) return { case: "nodeId", value: node };
  throw usageFailure("give either the id of a GPU or --node NODE");
}

function nameOf(target: Target | MaintenanceTarget["target"] | undefined): string {
  return target?.case === "nodeId" ? `node ${printable(target.value)}` : `GPU ${printable(target?.value ?? "")}`;
}

function argumentOf(target: Target): string {
  return target.case === "nodeId" ? `--node ${printable(target.value)}` : printable(target.value);
}

function drainText({ activeRequests, drainDeadline }: Maintenance): string {
  if (activeRequests === 0) return "; nothing runs there";
  const until = drainDeadline ? `, until ${timeText(drainDeadline)} at most` : "";
  return `; ${countText(activeRequests)} request${activeRequests === 1 ? "" : "s"} still run there${until}`;
}

function listText({ maintenance, restarts }: ListMaintenanceResponse, style: Style): string {
  if (maintenance.length + restarts.length === 0) return "Everything is in service.\n";
  const rows = maintenance.map(({ target, reason, actor, since, estimatedEnd, activeRequests }) => [
    nameOf(target?.target),
    printable(reason),
    printable(actor?.name ?? ""),
    timeText(since),
    estimatedEnd ? timeText(estimatedEnd) : "",
    countText(activeRequests),
  ]);
  const windows = rows.length === 0 ? "" : textTable([{ title: "TARGET" }, { title: "REASON" }, { title: "BY" }, { title: "SINCE" }, { title: "UNTIL" }, { title: "RUNNING" }], rows, style.dim);
  const about = restarts.map((restart) => [printable(restart.gpuId), restartStateName(restart), printable(restart.actor?.name ?? ""), timeText(restart.requested), printable(restart.message)]);
  const restarted = about.length === 0 ? "" : textTable([{ title: "RESTART OF" }, { title: "STATE" }, { title: "BY" }, { title: "REQUESTED" }, { title: "MESSAGE" }], about, style.dim);
  return [windows, restarted].filter((text) => text !== "").join("\n");
}

/** "draining", "succeeded", … as the contract's enum says it. */
export function restartStateName({ state }: GpuRestart): string {
  return (RestartState[state] ?? `state ${state}`).toLowerCase().replaceAll("_", " ");
}
