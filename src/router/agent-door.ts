// The way of an agent's stream to its session when callers say who they are: a stream ends when its credential does. Whether an agent
// may speak for the node that it names is `agent-sessions.ts`'s to ask, once it has named it. Used by `daemon.ts`.
import { status, type ServerDuplexStream } from "@grpc/grpc-js";
import type { ConnectRequest, ConnectResponse } from "../../gen/gpurouter/v1/agent_pb.js";
import { callerOf } from "../api/grpc-guard.js";
import type { Guard } from "../api/guard.js";
import { EXPELLED } from "../api/outcomes.js";

type Connect = (stream: ServerDuplexStream<ConnectRequest, ConnectResponse>) => void;

/** `connect` for streams that end with the right to them. */
export function agentDoor(connect: Connect, guard: Guard): Connect {
  return (stream) => {
    const letGo = guard.hold(callerOf(stream), () => stream.emit("error", { code: status.UNAUTHENTICATED, details: EXPELLED.why }));
    for (const end of ["end", "close", "cancelled", "error"]) stream.once(end, letGo);
    connect(stream);
  };
}
