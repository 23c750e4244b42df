// `route --batch`: a file of payloads as one call, and what came of it for people. The other options of `route` hold for all of them.
import { clone, create, type JsonObject } from "@bufbuild/protobuf";
import type { Readable } from "node:stream";

import { BatchRouteRequestSchema, RouteRequestSchema, RouteStatus, type BatchRouteRequest, type RouteRequest, type RouteResponse } from "../../gen/gpurouter/v1/router_pb.js";
import { usageFailure } from "./failure.js";
import { countText, printable } from "./quantity-text.js";
import { bytesOf, routeRequestFrom, type RequestOptions } from "./request-options.js";
import { onText } from "./request-text.js";
import type { Style } from "./style.js";

/** As the contract has it. */
const MAX_REQUESTS = 1_000;

export interface BatchOptions extends RequestOptions {
  /** A file, or - for stdin. */
  readonly batch: string;
  readonly batchSplit?: boolean;
  readonly minBatchSizePerGpu?: number;
}

/** The call, and which line of the file each of its requests came from, counted from 1. */
export interface Batch {
  readonly call: BatchRouteRequest;
  readonly lines: readonly number[];
}

/** One request per line of the file: its payload as JSON. Ids are --id and the number of the line. Throws bad usage for what cannot be read. */
export async function batchFrom(options: BatchOptions, stdin: Readable): Promise<Batch> {
  if (options.payload !== undefined) throw usageFailure("--payload is for one request; with --batch each line of the file is a payload");
  const common = await routeRequestFrom(options, stdin);
  const text = new TextDecoder().decode(await bytesOf("--batch", options.batch, stdin));
  const entries = text.split("\n").flatMap((line, index) => (line.trim() === "" ? [] : [{ line: index + 1, request: requestOf(common, line, index + 1) }]));
  const requests = entries.map(({ request }) => request);
  if (requests.length === 0) throw usageFailure("--batch: there is no request in it; write one JSON payload per line");
  if (requests.length > MAX_REQUESTS) throw usageFailure(`--batch: ${countText(requests.length)} requests are more than the ${countText(MAX_REQUESTS)} of one call; send it in parts`);
  const call = create(BatchRouteRequestSchema, {
    requests,
    ...(options.batchSplit !== undefined && { batchSplit: options.batchSplit }),
    minBatchSizePerGpu: options.minBatchSizePerGpu ?? 0,
  });
  return { call, lines: entries.map(({ line }) => line) };
}

function requestOf(common: RouteRequest, line: string, number: number): RouteRequest {
  let payload: unknown;
  try {
    payload = JSON.parse(line);
  } catch (error) {
    throw usageFailure(`--batch: line ${number} is not JSON (${error instanceof Error ? error.message : String(error)}); write one payload per line`);
  }
  const request = clone(RouteRequestSchema, common);
  if (common.requestId !== "") request.requestId = `${common.requestId}-${number}`;
  request.payload =
    typeof payload === "object" && payload !== null && !Array.isArray(payload)
      ? { case: "payloadJson", value: payload as JsonObject }
      : { case: "payloadBytes", value: Buffer.from(line.trim()) };
  return request;
}

/** A line for each, and one that sums up. */
export function batchText(responses: readonly RouteResponse[], style: Style): string {
  const lines = responses.map((response) => `${style.bold(printable(response.requestId))} ${standing(response)}`);
  const of = (status: RouteStatus): number => responses.filter((response) => response.status === status).length;
  const gpus = new Set(responses.flatMap(({ assignedGpus }) => assignedGpus)).size;
  const counts = [
    `${countText(of(RouteStatus.ACCEPTED))} accepted on ${countText(gpus)} ${gpus === 1 ? "GPU" : "GPUs"}`,
    `${countText(of(RouteStatus.QUEUED))} queued`,
    `${countText(of(RouteStatus.REJECTED))} rejected`,
  ];
  lines.push(style.dim(`${countText(responses.length)} requests: ${counts.join(", ")}`));
  return `${lines.join("\n")}\n`;
}

function standing(response: RouteResponse): string {
  if (response.status === RouteStatus.REJECTED) return `rejected: ${printable(response.message)}`;
  return response.status === RouteStatus.QUEUED ? `queued, ${countText(response.queuePosition)} ahead` : `accepted${onText(response)}`;
}
