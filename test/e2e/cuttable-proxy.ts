// A wire between two processes that a test can cut (both ends see it at once), freeze (nobody is told anything) or make slow.
import { once } from "node:events";
import net from "node:net";
import { afterThisTest } from "./harness.js";

export interface CuttableProxy {
  /** host:port to connect to instead of the target. */
  readonly address: string;
  /** Connections there are now. */
  connections(): number;
  /** Resets every connection. New ones are let through. */
  cut(): void;
  /** From now on nothing passes, and nothing is closed. New connections hang as well. */
  freeze(): void;
  /** Lets everything pass again, what was held back first. */
  thaw(): void;
}

/** A proxy in front of `target`, "host:port". Everything takes `delayMs` longer, each way. */
export async function startProxy(target: string, delayMs = 0): Promise<CuttableProxy> {
  const [host, port] = target.split(":");
  const pairs = new Set<readonly [net.Socket, net.Socket]>();
  let frozen = false;
  const passOn = (to: net.Socket) => (data: Buffer) => {
    if (delayMs === 0) to.write(data);
    else setTimeout(() => to.writable && to.write(data), delayMs);
  };
  const server = net.createServer((near) => {
    const far = net.connect(Number(port), host);
    const pair = [near, far] as const;
    pairs.add(pair);
    near.on("data", passOn(far));
    far.on("data", passOn(near));
    for (const [socket, other] of [pair, [far, near]] as const) {
      socket.on("error", () => {});
      socket.on("close", () => {
        pairs.delete(pair);
        other.destroy();
      });
      if (frozen) socket.pause();
    }
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const cut = (): void => {
    for (const [near, far] of pairs) {
      near.resetAndDestroy();
      far.resetAndDestroy();
    }
  };
  afterThisTest(() => {
    cut();
    server.close();
  });
  const each = (act: (socket: net.Socket) => void): void => {
    for (const pair of pairs) for (const socket of pair) act(socket);
  };
  return {
    address: `127.0.0.1:${(server.address() as net.AddressInfo).port}`,
    connections: () => pairs.size,
    cut,
    freeze() {
      frozen = true;
      each((socket) => socket.pause());
    },
    thaw() {
      frozen = false;
      each((socket) => socket.resume());
    },
  };
}
