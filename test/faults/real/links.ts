// The network between an agent and the router, to be taken away without a word. Where the machine permits, the agent runs in a network
// namespace of its own whose only way out drops every packet, as a pulled cable does; else a proxy of the tests stops passing bytes on.
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import net from "node:net";
import { afterThisTest } from "../../e2e/harness.js";
import { startProxy } from "../../e2e/cuttable-proxy.js";
import { settings } from "./settings.js";

export interface Link {
  /** What it is made of, for the figures. */
  readonly kind: "network namespace" | "proxy";
  /** What the agent takes for the router. */
  readonly address: string;
  /** The command that the agent has to be run with. */
  readonly within: readonly string[];
  /** From now on nothing passes, and nobody is told: no FIN, no reset. */
  silence(): void;
  /** The same, of what the router sends alone: it still hears the agent. Only where the link is a namespace. */
  silenceTheRouter(): void;
  heal(): void;
}

/** Why there are no namespaces here; "" when there are. */
export const noNamespaces = probeNamespaces();
process.stderr.write(`Nodes are made unreachable by ${noNamespaces === "" ? "network namespaces whose packets are dropped" : `a proxy of the tests: there are no network namespaces (${noNamespaces})`}.\n`);

let made = 0;

/** A link of its own to the router at `router`, "host:port". */
export async function makeLink(router: string): Promise<Link> {
  if (noNamespaces === "") return namespaceLink(router);
  const proxy = await startProxy(router);
  return { kind: "proxy", address: proxy.address, within: [], silence: () => proxy.freeze(), silenceTheRouter: () => { throw new Error("A proxy silences both sides."); }, heal: () => proxy.thaw() };
}

async function namespaceLink(router: string): Promise<Link> {
  const { name, host } = makeNamespace();
  // The router listens on loopback alone: somebody has to carry the bytes from the link's end to it.
  const [target = "", port] = router.split(":");
  const sockets = new Set<net.Socket>();
  const relay = net.createServer((near) => {
    const far = net.connect(Number(port), target);
    for (const [socket, other] of [[near, far], [far, near]] as const) {
      sockets.add(socket);
      socket.pipe(other);
      socket.on("error", () => other.destroy());
      socket.on("close", () => sockets.delete(socket));
    }
  });
  relay.listen(0, host);
  await once(relay, "listening");
  afterThisTest(() => {
    for (const socket of sockets) socket.destroy();
    relay.close();
  });
  const within = ["ip", "netns", "exec", name];
  const here = { tc: trafficControl([]), device: `${name}a` };
  const there = { tc: trafficControl(within), device: `${name}b` };
  const silenced = new Set<typeof here>();
  /** A queue without room drops what is sent, and says nothing. */
  const silence = (...ends: (typeof here)[]): void => {
    for (const end of ends) {
      end.tc(`qdisc replace dev ${end.device} root pfifo limit 0`);
      silenced.add(end);
    }
  };
  return {
    kind: "network namespace",
    address: `${host}:${(relay.address() as net.AddressInfo).port}`,
    within,
    silence: () => silence(there, here),
    silenceTheRouter: () => silence(here),
    heal() {
      for (const { tc, device } of silenced) tc(`qdisc delete dev ${device} root`);
      silenced.clear();
    },
  };
}

/** Takes commands of `tc` and does each at once: a process that had to start first would blur the moment of the fault. */
function trafficControl(within: readonly string[]): (command: string) => void {
  const [program = "", ...args] = [...within, "tc", "-force", "-batch", "-"];
  const child = spawn(program, args, { stdio: ["pipe", "ignore", "inherit"] });
  afterThisTest(() => child.kill("SIGKILL"));
  return (command) => child.stdin.write(`${command}\n`);
}

/** A namespace with one way out, the pair of links NAMEa here and NAMEb there; `host` is this side's address. */
function makeNamespace(): { readonly name: string; readonly host: string } {
  made += 1;
  const name = `${settings.prefix}n${made}`;
  // Of 198.18.0.0/15, which is for benchmarks and belongs to nobody.
  const subnet = (Number(settings.prefix.replaceAll(/\D/g, "")) * 16 + made) % 32_768;
  const address = (last: number): string => `198.${18 + (subnet >> 14)}.${(subnet >> 6) & 255}.${((subnet & 63) << 2) + last}`;
  run("ip", "netns", "add", name);
  afterThisTest(() => run("ip", "netns", "delete", name));
  run("ip", "link", "add", `${name}a`, "type", "veth", "peer", "name", `${name}b`, "netns", name);
  run("ip", "address", "add", `${address(1)}/30`, "dev", `${name}a`);
  run("ip", "link", "set", `${name}a`, "up");
  run("ip", "-n", name, "address", "add", `${address(2)}/30`, "dev", `${name}b`);
  for (const device of ["lo", `${name}b`]) run("ip", "-n", name, "link", "set", device, "up");
  return { name, host: address(1) };
}

function probeNamespaces(): string {
  if (process.platform !== "linux") return "only Linux has them";
  const name = `${settings.prefix}p`;
  try {
    run("ip", "netns", "add", name);
    run("ip", "link", "add", `${name}a`, "type", "veth", "peer", "name", `${name}b`, "netns", name);
    run("tc", "qdisc", "replace", "dev", `${name}a`, "root", "pfifo", "limit", "0");
    return "";
  } catch (error) {
    return String((error as { stderr?: Buffer }).stderr || (error as Error).message).trim();
  } finally {
    try {
      run("ip", "netns", "delete", name);
    } catch {
      // It was never made.
    }
  }
}

function run(...words: string[]): void {
  const [program = "", ...args] = words;
  execFileSync(program, args, { stdio: ["ignore", "ignore", "pipe"] });
}
