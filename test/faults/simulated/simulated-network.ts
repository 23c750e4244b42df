// A simulated network between the nodes and the router: connections whose two streams are ordered, as TCP's are, with delay, windows
// that fill up, stalls in one or both directions, cuts and silent death. What is sent crosses it as real protobuf bytes.
import { EventEmitter } from "node:events";
import { fromBinary, toBinary } from "@bufbuild/protobuf";
import { Metadata } from "@grpc/grpc-js";
import { ConnectRequestSchema, ConnectResponseSchema, type ConnectRequest, type ConnectResponse } from "../../../gen/gpurouter/v1/agent_pb.js";
import { stampCaller } from "../../../src/api/grpc-guard.js";
import { LOCAL_CALLER } from "../../../src/api/guard.js";
import type { SimulatedProcess, VirtualTime } from "./virtual-time.js";

/** How long a client waits for the other host before it gives a connection up, ms: gRPC's keep-alive. */
const KEEPALIVE_MS = 15_000;
/** gRPC's status UNAVAILABLE. */
const UNAVAILABLE = 14;

/** The way from one host to another. What is sent while it is blocked arrives when it is free again, unless the connection has died. */
export class Path {
  /** Of one message, ms. */
  readonly delayMs: () => number;
  #blocked = false;
  #waiting: (() => void)[] = [];

  constructor(delayMs: () => number) {
    this.delayMs = delayMs;
  }

  get blocked(): boolean {
    return this.#blocked;
  }

  set blocked(blocked: boolean) {
    this.#blocked = blocked;
    if (!blocked) for (const go of this.#waiting.splice(0)) go();
  }

  whenFree(go: () => void): void {
    this.#waiting.push(go);
  }
}

/** Both ways between a node and the router. */
export interface Link {
  readonly toRouter: Path;
  readonly toNode: Path;
}

/** What takes connections. */
export interface Listener {
  readonly process: SimulatedProcess;
  accept(stream: ServerEnd): void;
}

type Parcel = { readonly kind: "data"; readonly bytes: Uint8Array } | { readonly kind: "end" } | { readonly kind: "reset"; readonly why: string } | { readonly kind: "open" };

/** One direction of a connection: parcels arrive in the order in which they were sent. */
class Pipe {
  readonly #time: VirtualTime;
  readonly #path: Path;
  readonly #receiver: () => SimulatedProcess | null;
  readonly #deliver: (parcel: Parcel) => void;
  readonly #windowBytes: number;
  readonly #onDrain: () => void;
  /** Oldest first. */
  readonly #inFlight: Parcel[] = [];
  #lastArrivalMs = 0;
  #queuedBytes = 0;
  #full = false;
  /** Nothing arrives any more, and nobody is told. */
  dead = false;

  constructor(time: VirtualTime, path: Path, windowBytes: number, receiver: () => SimulatedProcess | null, deliver: (parcel: Parcel) => void, onDrain: () => void) {
    this.#time = time;
    this.#path = path;
    this.#windowBytes = windowBytes;
    this.#receiver = receiver;
    this.#deliver = deliver;
    this.#onDrain = onDrain;
  }

  /** False when the window is full: there will be a drain. */
  send(parcel: Parcel): boolean {
    const bytes = parcel.kind === "data" ? parcel.bytes.byteLength : 0;
    this.#queuedBytes += bytes;
    this.#inFlight.push(parcel);
    this.#travel();
    this.#full ||= this.#queuedBytes > this.#windowBytes;
    return !this.#full;
  }

  #travel(): void {
    const arrivalMs = Math.max(this.#lastArrivalMs, this.#time.nowMs + this.#path.delayMs());
    this.#lastArrivalMs = arrivalMs;
    this.#time.after(arrivalMs - this.#time.nowMs, null, () => this.#arrive());
  }

  #arrive(): void {
    if (this.dead) return;
    if (this.#path.blocked) {
      this.#path.whenFree(() => this.#travel());
      return;
    }
    const parcel = this.#inFlight.shift();
    if (!parcel) return;
    this.#queuedBytes -= parcel.kind === "data" ? parcel.bytes.byteLength : 0;
    if (this.#full && this.#queuedBytes <= this.#windowBytes / 2) {
      this.#full = false;
      this.#onDrain();
    }
    this.#time.after(0, this.#receiver(), () => this.#deliver(parcel));
  }
}

/** One connection, opened by `client`. */
export class Connection {
  readonly clientEnd: ClientEnd;
  /** Is shown what the router sends, as it sends it. */
  tap: (message: ConnectResponse) => void = () => {};
  readonly #time: VirtualTime;
  readonly #client: SimulatedProcess;
  readonly #link: Link;
  readonly #listener: () => Listener | null;
  readonly #toServer: Pipe;
  readonly #toClient: Pipe;
  #server: { readonly process: SimulatedProcess; readonly end: ServerEnd } | null = null;
  #clientOpen = true;
  #serverOpen = false;
  #quietSinceMs: number;

  constructor(time: VirtualTime, client: SimulatedProcess, link: Link, windowBytes: number, listener: () => Listener | null) {
    this.#time = time;
    this.#client = client;
    this.#link = link;
    this.#listener = listener;
    this.#quietSinceMs = time.nowMs;
    this.#toServer = new Pipe(time, link.toRouter, windowBytes, () => this.#serverProcess, (parcel) => this.#atServer(parcel), () => this.#drained(client, this.clientEnd));
    this.#toClient = new Pipe(time, link.toNode, windowBytes, () => client, (parcel) => this.#atClient(parcel), () => this.#server && this.#drained(this.#server.process, this.#server.end));
    this.clientEnd = new ClientEnd(this);
    this.#toServer.send({ kind: "open" });
    this.#keepAlive();
  }

  get open(): boolean {
    return this.#clientOpen || this.#serverOpen;
  }

  /** From the client's end. */
  clientSends(message: ConnectRequest): boolean {
    if (!this.#clientOpen) return true;
    return this.#toServer.send({ kind: "data", bytes: toBinary(ConnectRequestSchema, message) });
  }

  clientEnds(): void {
    if (this.#clientOpen) this.#toServer.send({ kind: "end" });
  }

  clientCancels(): void {
    if (!this.#clientOpen) return;
    this.#toServer.send({ kind: "reset", why: "cancelled" });
    this.#failClient("the stream was cancelled");
  }

  serverSends(message: ConnectResponse): boolean {
    if (!this.#serverOpen) return true;
    this.tap(message);
    return this.#toClient.send({ kind: "data", bytes: toBinary(ConnectResponseSchema, message) });
  }

  serverEnds(): void {
    if (!this.#serverOpen) return;
    this.#serverOpen = false;
    this.#toClient.send({ kind: "end" });
    this.#tellServer("close");
  }

  serverRefuses(details: string): void {
    if (!this.#serverOpen) return;
    this.#serverOpen = false;
    this.#toClient.send({ kind: "reset", why: details });
  }

  /** Both ends learn at once that it is broken. */
  cut(): void {
    this.#failClient("the connection was reset");
    this.#failServer();
  }

  /** Nothing gets through any more; only time-outs tell. */
  die(): void {
    this.#toServer.dead = true;
    this.#toClient.dead = true;
  }

  /** The process at one end is gone; its host tells the other one, where it still can. */
  processGone(process: SimulatedProcess): void {
    if (process === this.#client) {
      this.#clientOpen = false;
      this.#toServer.send({ kind: "reset", why: "the agent is gone" });
    } else if (process === this.#server?.process) {
      this.#serverOpen = false;
      this.#toClient.send({ kind: "reset", why: "the router is gone" });
    }
  }

  get #serverProcess(): SimulatedProcess | null {
    return this.#server?.process ?? this.#listener()?.process ?? null;
  }

  #atServer(parcel: Parcel): void {
    if (parcel.kind === "open") {
      const listener = this.#listener();
      if (!listener) {
        this.#toClient.send({ kind: "reset", why: "connection refused" });
        return;
      }
      const end = new ServerEnd(this);
      this.#server = { process: listener.process, end };
      this.#serverOpen = true;
      listener.accept(end);
      return;
    }
    if (!this.#serverOpen) {
      // As a host answers what is sent to a process that is gone.
      if (parcel.kind === "data" && this.#server?.process.alive !== true) this.#toClient.send({ kind: "reset", why: "the router does not know the connection" });
      return;
    }
    if (parcel.kind === "data") this.#server?.end.emit("data", fromBinary(ConnectRequestSchema, parcel.bytes));
    else if (parcel.kind === "end") this.#server?.end.emit("end");
    else this.#failServer();
  }

  #atClient(parcel: Parcel): void {
    this.#quietSinceMs = this.#time.nowMs;
    if (!this.#clientOpen) return;
    if (parcel.kind === "data") this.clientEnd.emit("data", fromBinary(ConnectResponseSchema, parcel.bytes));
    else if (parcel.kind === "reset") this.#failClient(parcel.why);
    else {
      this.#clientOpen = false;
      this.clientEnd.emit("end");
      this.clientEnd.emit("status", { code: 0, details: "" });
    }
  }

  #failClient(why: string): void {
    if (!this.#clientOpen) return;
    this.#clientOpen = false;
    this.#time.after(0, this.#client, () => {
      this.clientEnd.emit("error", Object.assign(new Error(why), { code: UNAVAILABLE, details: why }));
      this.clientEnd.emit("status", { code: UNAVAILABLE, details: why });
    });
  }

  #failServer(): void {
    if (!this.#serverOpen) return;
    this.#serverOpen = false;
    this.#tellServer("cancelled");
    this.#tellServer("close");
  }

  #tellServer(event: string): void {
    const server = this.#server;
    if (server) this.#time.after(0, server.process, () => server.end.emit(event));
  }

  #drained(process: SimulatedProcess, end: EventEmitter): void {
    this.#time.after(0, process, () => end.emit("drain"));
  }

  /** The client's host notices in the end that nothing comes back. Whether the way is free at that moment stands for its pings. */
  #keepAlive(): void {
    const { toRouter, toNode } = this.#link;
    const silent = this.#toClient.dead || toRouter.blocked || toNode.blocked;
    if (!silent) this.#quietSinceMs = this.#time.nowMs;
    if (this.#time.nowMs - this.#quietSinceMs >= KEEPALIVE_MS) this.#failClient("keep-alive time-out");
    if (this.#clientOpen && this.#client.alive) this.#time.after(KEEPALIVE_MS / 5, null, () => this.#keepAlive());
  }
}

/** What the agent has of a connection, as grpc-js gives it. */
export class ClientEnd extends EventEmitter {
  readonly #connection: Connection;

  constructor(connection: Connection) {
    super();
    this.#connection = connection;
  }

  write(message: ConnectRequest): boolean {
    return this.#connection.clientSends(message);
  }

  end(): void {
    this.#connection.clientEnds();
  }

  cancel(): void {
    this.#connection.clientCancels();
  }
}

/** What the router has of a connection, as grpc-js gives it: an "error" that it emits itself ends the stream with that status. */
export class ServerEnd extends EventEmitter {
  /** As of a router on one machine, where nobody has to say who he is. */
  readonly metadata = stampCaller(new Metadata(), LOCAL_CALLER);
  readonly #connection: Connection;

  constructor(connection: Connection) {
    super();
    this.#connection = connection;
    this.on("error", ({ details }: { readonly details: string }) => this.#connection.serverRefuses(details));
  }

  write(message: ConnectResponse): boolean {
    return this.#connection.serverSends(message);
  }

  end(): void {
    this.#connection.serverEnds();
  }
}
