// What the router's parts are tested with: a journal whose commits the test holds, a clock that it moves, an agent's stream.
import { EventEmitter } from "node:events";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { Metadata, type ServerDuplexStream } from "@grpc/grpc-js";
import { pino, type Logger } from "pino";
import { ConnectRequestSchema, type ConnectRequest, type ConnectResponse } from "../../../gen/gpurouter/v1/agent_pb.js";
import { stampCaller } from "../../../src/api/grpc-guard.js";
import { LOCAL_CALLER, type Caller } from "../../../src/api/guard.js";
import type { Event } from "../../../src/core/events.js";
import type { GpuId, NodeId, RequestId } from "../../../src/core/model/ids.js";
import type { Request } from "../../../src/core/model/request.js";
import type { Batch, FinishedPage, Journal } from "../../../src/journal/journal.js";
import type { Clock } from "../../../src/router/clock.js";

export const silentLog: Logger = pino({ level: "silent" });

/** A log whose lines are kept. */
export function keptLog(): { readonly log: Logger; readonly lines: { readonly level: number; readonly msg: string }[] } {
  const lines: { level: number; msg: string }[] = [];
  return { log: pino({ level: "trace" }, { write: (line: string) => void lines.push(JSON.parse(line) as { level: number; msg: string }) }), lines };
}

export class TestClock implements Clock {
  atMs = 1_000_000;
  now(): number {
    return this.atMs;
  }
}

interface Append {
  readonly commit: () => void;
  readonly fail: (error: Error) => void;
}

/** A journal in memory whose appends end when the test says so. */
export class HeldJournal {
  readonly batches: Batch[] = [];
  readonly ended: { readonly request: Request; readonly result: Uint8Array }[] = [];
  bytesSinceSnapshot = 0;
  snapshotBytes = 0;
  nextSequence = 1;
  #waiting: Append | null = null;

  /** As the type that the router's parts take. */
  get journal(): Journal {
    return this as unknown as Journal;
  }

  get committing(): boolean {
    return this.#waiting !== null;
  }

  recover(): { readonly snapshot: null; readonly records: [] } {
    return { snapshot: null, records: [] };
  }

  append(batch: Batch): Promise<void> {
    if (this.#waiting) throw new Error("Appended while an append is under way.");
    if (batch.firstSequence !== this.nextSequence) throw new Error(`Appended ${batch.firstSequence}, expected ${this.nextSequence}.`);
    this.nextSequence += batch.records.length;
    this.batches.push(batch);
    return new Promise((resolve, reject) => {
      this.#waiting = {
        commit: () => {
          // Copies: what the engine does to a request later must not reach the disk.
          this.ended.push(...batch.ended.map(({ request, result }) => ({ request: { ...request }, result })));
          resolve();
        },
        fail: reject,
      };
    });
  }

  /** Ends the append under way, and lets those who wait for it run. */
  async commit(): Promise<void> {
    const waiting = await this.#append();
    waiting.commit();
    await turn();
  }

  async fail(error: Error): Promise<void> {
    const waiting = await this.#append();
    waiting.fail(error);
    await turn();
  }

  async #append(): Promise<Append> {
    for (let turns = 0; turns < 100 && !this.#waiting; turns += 1) await turn();
    const waiting = this.#waiting;
    if (!waiting) throw new Error("Nothing is being appended.");
    this.#waiting = null;
    return waiting;
  }

  finished(requestId: RequestId): Request | null {
    return this.ended.find(({ request }) => request.spec.requestId === requestId)?.request ?? null;
  }

  result(requestId: RequestId): Uint8Array | null {
    return this.ended.find(({ request }) => request.spec.requestId === requestId)?.result ?? null;
  }

  listFinished(belowOrder: number, limit: number): FinishedPage {
    const end = belowOrder > 0 ? belowOrder - 1 : this.ended.length;
    const start = Math.max(0, end - limit);
    const requests = this.ended.slice(start, end).map(({ request }) => request);
    return { requests: requests.toReversed(), nextOrder: start > 0 ? start + 1 : 0 };
  }
}

/** One turn of the event loop: everything that was due has run. */
export function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/** The router's end of an agent's stream. */
export class FakeStream extends EventEmitter {
  readonly sent: ConnectResponse[] = [];
  /** What `write` returns: false is a stream that is full. */
  takes = true;
  ended = false;
  readonly metadata: Metadata;

  constructor(caller: Caller = LOCAL_CALLER) {
    super();
    this.metadata = stampCaller(new Metadata(), caller);
  }

  get stream(): ServerDuplexStream<ConnectRequest, ConnectResponse> {
    return this as unknown as ServerDuplexStream<ConnectRequest, ConnectResponse>;
  }

  write(message: ConnectResponse): boolean {
    this.sent.push(message);
    return this.takes;
  }

  end(): void {
    this.ended = true;
  }

  /** The agent says something. */
  says(message: MessageInitShape<typeof ConnectRequestSchema>): void {
    this.emit("data", create(ConnectRequestSchema, message));
  }

  hello(hello: { nodeId?: string; instanceId?: string; highestEpoch?: bigint; held?: { requestId: string; attempt: number }[]; gpus?: { gpuId: string }[] } = {}, beat = 0n): void {
    const gpus = [{ gpuId: "GPU-0", name: "Test GPU", memoryTotalMib: 80_000, computeCapability: "9.0" }];
    this.says({ beat, hello: { nodeId: "node-a", instanceId: "1", agentVersion: "0", gpus, runners: { runners: [{ name: "any", kind: "exec", models: ["*"] }] }, ...hello } });
  }

  drain(): void {
    this.takes = true;
    this.emit("drain");
  }
}

/** A node with `gpus` GPUs, as an event. */
export function nodeConnected(nodeId: string, gpus: number): Event {
  return {
    kind: "node_connected",
    nodeId: nodeId as NodeId,
    instanceId: "1",
    gpus: Array.from({ length: gpus }, (_, index) => ({
      gpuId: `${nodeId}-${index}` as GpuId,
      name: "Test GPU",
      computeCapability: 9_000,
      memoryTotalMib: 80_000,
      multiprocessorCount: 132,
      powerLimitWatts: 700,
      driverVersion: "580.1",
      parentGpuId: "",
      simulated: true,
    })),
    runners: [{ name: "any", kind: "exec", models: ["*"], types: [], gpuIds: [] }],
    held: [],
  };
}
