// Turns whatever stopped a command into one line that says what to do next, and an exit code.
import { status, type ServiceError } from "@grpc/grpc-js";

import { printable } from "./quantity-text.js";

/** Exit codes of every command; `route --wait` and `watch` add the fate of the request. */
export const ExitCode = { ok: 0, failed: 1, usage: 2, cancelled: 3, interrupted: 130 } as const;

/** A failure that already says what to do next. */
export class CliFailure extends Error {
  constructor(
    message: string,
    readonly exitCode: number = ExitCode.failed,
  ) {
    super(message);
    this.name = "CliFailure";
  }
}

/** Bad usage: exit code 2. */
export function usageFailure(message: string): CliFailure {
  return new CliFailure(message, ExitCode.usage);
}

/** What `load` gives; its error as bad usage, with its own words. */
export function usable<T>(load: () => T): T {
  try {
    return load();
  } catch (error) {
    throw error instanceof CliFailure ? error : usageFailure(error instanceof Error ? error.message : String(error));
  }
}

/** Whether an error is the answer of a gRPC call. */
export function isServiceError(error: unknown): error is ServiceError {
  return error instanceof Error && "code" in error && typeof error.code === "number" && "details" in error;
}

/** The name of a gRPC status code, such as "UNAVAILABLE". */
export function statusName(code: number): string {
  return status[code] ?? `CODE_${code}`;
}

/** Whether the same call may work a moment later: the router is away, restarts, or answered too late. */
export function isTransient(error: unknown): boolean {
  return isServiceError(error) && (error.code === status.UNAVAILABLE || error.code === status.DEADLINE_EXCEEDED);
}

// How grpc-js words a connection that could not be made or broke; anything else UNAVAILABLE came from the router itself.
const NOT_TRUSTED = /certificate|self-signed|altname|EPROTO|SSL|TLS/i;
const NOT_CONNECTED = /No connection established|ECONN|ENOENT|EHOSTUNREACH|Name resolution|Connection dropped|socket|GOAWAY/i;

/** One line for a failed call. */
function serviceErrorText(error: ServiceError, address: string): string {
  const details = printable(error.details);
  switch (error.code) {
    case status.UNAVAILABLE:
      if (NOT_TRUSTED.test(error.details)) return `the router at ${address} and this command do not agree on TLS (${details}): check --ca, and the name in --router`;
      if (error.details.includes("Protocol error")) return `what listens at ${address} does not speak gRPC: give --router the router's gRPC port (50051 unless configured otherwise), not its HTTP port`;
      if (error.details.startsWith("Name resolution failed")) return `the name in --router ${address} cannot be resolved: check its spelling, or give an address such as 127.0.0.1:50051`;
      return NOT_CONNECTED.test(error.details)
        ? `cannot reach the router at ${address}: start it with \`gpu-router up\`, or pass --router ADDRESS`
        : `the router at ${address} is not taking this now: ${details}. Try again in a moment`;
    case status.DEADLINE_EXCEEDED:
      return `no answer from the router at ${address} in time (${details}): check that --router names a router, then try again`;
    case status.UNIMPLEMENTED:
      return `what listens at ${address} does not know this call: check that --router names a gpu-router of the same version`;
    case status.UNAUTHENTICATED:
      return `the router at ${address} does not let you in: ${details}`;
    case status.PERMISSION_DENIED:
      return `you may not: ${details}`;
    case status.NOT_FOUND:
      return notFoundText(details);
    case status.INVALID_ARGUMENT:
      return `the router refused the request: ${details}`;
    default:
      return `${statusName(error.code)}: ${details}`;
  }
}

/** Who calls the API reads of its fields and methods; who types reads of commands. */
function notFoundText(details: string): string {
  if (details.startsWith("no request")) return `${details}: see what the router knows with \`gpu-router list\``;
  const [what = details] = details.replace(/^(gpu_ids|target): /, "").split("; ");
  if (/^(no GPU|the fleet has no)/.test(what)) return `${what}: see all with \`gpu-router gpus\``;
  return what.startsWith("no failed callback") ? `${what}: see all with \`gpu-router callbacks failed\`` : details;
}

/** The line to print and the exit code for anything that was thrown. `address` is the router that was called. */
export function describeFailure(error: unknown, address: string): { readonly message: string; readonly exitCode: number } {
  if (error instanceof CliFailure) return { message: error.message, exitCode: error.exitCode };
  if (isServiceError(error)) return { message: serviceErrorText(error, address), exitCode: ExitCode.failed };
  return { message: printable(error instanceof Error ? error.message : String(error)), exitCode: ExitCode.failed };
}
