// Where callbacks may go. Judged when a connection is made, on the addresses that it would be made to: a name that resolves to something
// else a moment later changes nothing. Called by sender.ts. Anything but public unicast is refused unless the operator has allowed it.
import { lookup as systemLookup } from "node:dns";
import { Resolver } from "node:dns/promises";
import { isIP, type LookupFunction } from "node:net";
import { networkInterfaces } from "node:os";
import ipaddr from "ipaddr.js";

/** Why a callback may not go where it wants to. Trying again would not help. */
export class RefusedAddress extends Error {
  override readonly name = "RefusedAddress";
}

export interface GuardOptions {
  /** Host names, addresses and CIDR ranges that are open whatever they are; http is allowed there too. */
  readonly allow: readonly string[];
  readonly ports: readonly number[];
  /** Looks names up; the system's DNS servers when left out. */
  readonly resolve?: (name: string) => Promise<readonly string[]>;
}

type Address = ipaddr.IPv4 | ipaddr.IPv6;

/** Public by their numbers, and yet of the machine's own cloud: Azure's platform channel. */
const NEVER = new Set(["168.63.129.16"]);
/** All of the public IPv6 internet so far. */
const GLOBAL_IPV6 = ipaddr.parseCIDR("2000::/3") as [ipaddr.IPv6, number];
const LOOKUP_TIMEOUT_MS = 3_000;
const LOOKUP_TRIES = 2;

export class AddressGuard {
  readonly #ports: ReadonlySet<number>;
  readonly #names = new Set<string>();
  readonly #ranges: (readonly [Address, number])[] = [];
  readonly #resolve: (name: string) => Promise<readonly string[]>;

  /** Throws when an entry of `allow` is neither a name nor an address nor a range. */
  constructor({ allow, ports, resolve }: GuardOptions) {
    this.#ports = new Set(ports);
    for (const entry of allow) {
      const range = rangeOf(entry);
      if (range) this.#ranges.push(range);
      else if (isAllowEntry(entry)) this.#names.add(entry.toLowerCase());
      else throw new Error(`callbacks.allow: "${entry}" is neither a host name nor an address nor a range such as 10.1.0.0/16.`);
    }
    const servers = new Resolver({ timeout: LOOKUP_TIMEOUT_MS, tries: LOOKUP_TRIES });
    this.#resolve = resolve ?? ((name) => (this.#names.has(name) ? fromSystem(name) : fromServers(servers, name)));
  }

  /**
   * The addresses to connect to. Rejects with RefusedAddress when the URL, or any address that its name has, is not allowed; with what the
   * DNS said when the name cannot be resolved.
   */
  async addressesFor(url: URL): Promise<readonly string[]> {
    const secure = url.protocol === "https:";
    if (!secure && url.protocol !== "http:") throw new RefusedAddress(`${url.protocol} is not allowed`);
    const port = url.port === "" ? (secure ? 443 : 80) : Number(url.port);
    if (!this.#ports.has(port)) throw new RefusedAddress(`port ${port} is not one of callbacks.ports`);
    const name = url.hostname.replace(/^\[|\]$/g, "").replace(/\.$/, "").toLowerCase();
    const addresses = isIP(name) > 0 ? [name] : await this.#resolve(name);
    if (addresses.length === 0) throw new Error(`${name} has no address`);
    for (const address of addresses) {
      const refused = this.refusal(name, address, secure);
      if (refused !== "") throw new RefusedAddress(refused);
    }
    return addresses;
  }

  /** Why `name` may not be reached at `address`; "" when it may. One of several that is not allowed spoils them all. */
  refusal(name: string, address: string, secure: boolean): string {
    if (this.#names.has(name)) return "";
    // Undoes IPv4 in IPv6, so that ::ffff:127.0.0.1 is what it is.
    const parsed = ipaddr.isValid(address) ? ipaddr.process(address) : null;
    if (!parsed) return `${name} has an address that is none`;
    if (this.#ranges.some(([range, bits]) => range.kind() === parsed.kind() && parsed.match(range as never, bits))) return "";
    const range = parsed.range();
    // Which of them is not told: what a name resolves to in here is nobody's business.
    if (range !== "unicast") return `${name} has an address that is not public (${range})`;
    if (parsed instanceof ipaddr.IPv6 && !parsed.match(GLOBAL_IPV6)) return `${name} has an address that is not public`;
    if (NEVER.has(parsed.toString()) || isOwn(parsed)) return `${name} has an address of this machine or its cloud`;
    return secure ? "" : `${name} is reached by http, which is allowed only for what callbacks.allow names`;
  }
}

/** Whether `entry` can be in the list: a host name, an address, or a range. */
function isAllowEntry(entry: string): boolean {
  return rangeOf(entry) !== null || (isHostName(entry) && !/^[\d.]+$/.test(entry));
}

function isHostName(entry: string): boolean {
  return entry.length <= 253 && /^(?!-)[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63})*$/.test(entry);
}

function rangeOf(entry: string): readonly [Address, number] | null {
  if (isIP(entry) > 0) {
    const address = ipaddr.process(entry);
    return [address, address.kind() === "ipv4" ? 32 : 128];
  }
  return ipaddr.isValidCIDR(entry) ? ipaddr.parseCIDR(entry) : null;
}

function isOwn(address: Address): boolean {
  const text = address.toString();
  return Object.values(networkInterfaces()).some((all = []) => all.some((own) => ipaddr.isValid(own.address) && ipaddr.process(own.address).toString() === text));
}

/** By the DNS servers alone, without holding up a thread of this process for a server that is slow. */
async function fromServers(servers: Resolver, name: string): Promise<readonly string[]> {
  const [four, six] = await Promise.allSettled([servers.resolve4(name), servers.resolve6(name)]);
  const found = [four, six].flatMap((result) => (result.status === "fulfilled" ? result.value : []));
  if (found.length === 0 && four.status === "rejected") throw four.reason;
  return found;
}

/** As programs of this machine do, hosts file and search domains included: for names that the operator knows. */
function fromSystem(name: string): Promise<readonly string[]> {
  return new Promise((resolve, reject) => {
    systemLookup(name, { all: true }, (error, found) => (error ? reject(error) : resolve(found.map(({ address }) => address))));
  });
}

/** For a connection to exactly `addresses`, whatever name it asks for. */
export function fixedLookup(addresses: readonly string[]): LookupFunction {
  const all = addresses.map((address) => ({ address, family: isIP(address) }));
  return (_name, { all: wantsAll, family }, callback) => {
    const wanted = family === 4 || family === 6 ? all.filter((each) => each.family === family) : all;
    const first = wanted[0];
    if (!first) callback(Object.assign(new Error("no address of that family"), { code: "ENOTFOUND" }), "", 0);
    else if (wantsAll === true) callback(null, wanted);
    else callback(null, first.address, first.family);
  };
}
