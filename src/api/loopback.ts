// Keeps the servers on this machine for as long as there is no authentication. Used by both servers.
import { isIPv4 } from "node:net";

/** Whether a host name or address, without port, always means this machine. */
export function isLoopback(host: string): boolean {
  const name = host.toLowerCase();
  return name === "localhost" || name === "::1" || name === "[::1]" || (isIPv4(name) && name.startsWith("127."));
}

/** Throws, with what to do, unless `host` is a loopback address. */
export function requireLoopback(host: string): void {
  if (isLoopback(host)) return;
  throw new Error(
    `cannot listen on ${JSON.stringify(host)}: authentication is not configured; only loopback addresses are allowed. ` +
      "Use 127.0.0.1, ::1 or localhost; other addresses become possible together with authentication.",
  );
}

/** A host and port as one address: "127.0.0.1:50051", "[::1]:50051". */
export function hostAndPort(host: string, port: number): string {
  return host.includes(":") && !host.startsWith("[") ? `[${host}]:${port}` : `${host}:${port}`;
}
