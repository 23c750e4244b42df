// The guard on gRPC: decides when the headers of a call are there, before any of its messages is read, and hands the caller on with the
// call's metadata. Used by `grpc-server.ts`.
import type { ServerHttp2Stream } from "node:http2";
import { ServerInterceptingCall, type Metadata, type ServerInterceptingCallInterface, type ServerInterceptor } from "@grpc/grpc-js";
import type { Presented } from "../auth/authenticator.js";
import type { PeerNames } from "../auth/certificate-rules.js";
import type { Access } from "./access.js";
import { peerNames } from "./certificate-names.js";
import { grpcStatus } from "./grpc-status.js";
import type { Caller, Guard } from "./guard.js";
import { ApiError } from "./outcomes.js";

const CALLER = Symbol("caller");
type Stamped = Metadata & { [CALLER]?: Caller };

/** What `refuseDoubledHeaders` puts in the place of two headers. */
export const DOUBLED = "doubled";

/** The caller of a call that the guard let in. Throws for any other: it is no call of a guarded server. */
export function callerOf({ metadata }: { readonly metadata: Metadata }): Caller {
  const caller = (metadata as Stamped)[CALLER];
  if (!caller) throw new Error("Invariant broken: a call got past the guard");
  return caller;
}

/** For tests and for calls that never came over a wire. */
export function stampCaller(metadata: Metadata, caller: Caller): Metadata {
  (metadata as Stamped)[CALLER] = caller;
  return metadata;
}

/** Guards every method; `accessByPath` has the rule of each path, such as "/gpurouter.v1.RouterService/Route". `fail` logs what is no fault of the caller. */
export function guardInterceptor(guard: Guard, accessByPath: ReadonlyMap<string, Access>, fail: (error: unknown, path: string) => ApiError): ServerInterceptor {
  /** Of each connection once; keyed by what stands for it, so that it goes with it. */
  const namesByConnection: NamesByConnection = new WeakMap();
  return ({ path }, call) => {
    const refuse = (error: unknown): void => {
      call.sendStatus(grpcStatus(error instanceof ApiError ? error : fail(error, path)));
      hangUp(call);
    };
    return new ServerInterceptingCall(call, {
      start: (next) =>
        next({
          onReceiveMetadata(metadata, pass) {
            try {
              const access = accessByPath.get(path);
              if (access === undefined) throw new Error(`${path} has no rule`);
              const caller = guard.admit(access, path.slice(1), presented(metadata, call, namesByConnection));
              if (caller instanceof Promise) caller.then((known) => pass(stampCaller(metadata, known))).catch(refuse);
              else pass(stampCaller(metadata, caller));
            } catch (error) {
              refuse(error);
            }
          },
        }),
    });
  };
}

function presented(metadata: Metadata, call: ServerInterceptingCallInterface, namesByConnection: NamesByConnection): Presented {
  const given = metadata.get("authorization");
  // Nobody behind the guard needs it, and what is not there cannot be logged.
  if (given.length > 0) metadata.remove("authorization");
  const [header] = given;
  return {
    authorization: header === undefined ? null : String(header),
    doubled: given.length > 1 || header === DOUBLED,
    address: call.getConnectionInfo().remoteAddress ?? "",
    certificate: () => namesOf(call, namesByConnection),
  };
}

type NamesByConnection = WeakMap<object, { readonly names: PeerNames | null }>;

function namesOf(call: ServerInterceptingCallInterface, namesByConnection: NamesByConnection): PeerNames | null {
  const session = streamOf(call)?.session;
  const known = session && namesByConnection.get(session);
  if (known) return known.names;
  // Empty unless TLS has verified the certificate.
  const { sslPeerCertificate } = call.getAuthContext();
  const names = sslPeerCertificate ? peerNames(sslPeerCertificate) : null;
  if (session) namesByConnection.set(session, { names });
  return names;
}

/**
 * Closes a stream that was refused while its caller may still be sending: grpc-js would keep it until he ends. Where grpc-js is
 * another and has no such stream, it stays open for as long.
 */
function hangUp(call: ServerInterceptingCallInterface): void {
  streamOf(call)?.close();
}

function streamOf(call: ServerInterceptingCallInterface): ServerHttp2Stream | undefined {
  return (call as unknown as { readonly stream?: ServerHttp2Stream }).stream;
}
