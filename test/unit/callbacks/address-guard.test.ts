// Where callbacks may go, and every way in that was thought of to make them go elsewhere.
import { describe, expect, test } from "@jest/globals";
import { networkInterfaces } from "node:os";
import { AddressGuard, fixedLookup, RefusedAddress } from "../../../src/callbacks/address-guard.js";

const names: Record<string, readonly string[]> = {
  "public.example": ["93.184.215.14", "2606:2800:21f:cb07:6820:80da:af6b:8b2c"],
  "private.example": ["10.1.2.3"],
  "mixed.example": ["93.184.215.14", "127.0.0.1"],
  "mapped.example": ["::ffff:127.0.0.1"],
  "nat64.example": ["64:ff9b::7f00:1"],
  "empty.example": [],
  localhost: ["127.0.0.1"],
};
const resolve = async (name: string): Promise<readonly string[]> => {
  const found = names[name];
  if (!found) throw new Error(`${name} is unknown`);
  return found;
};
const guardOf = (allow: readonly string[] = [], ports: readonly number[] = [80, 443]): AddressGuard => new AddressGuard({ allow, ports, resolve });

describe("addresses that are refused", () => {
  const guard = guardOf();
  test.each([
    // Loopback and what means it.
    "127.0.0.1", "127.1.2.3", "0.0.0.0", "[::1]", "[::]", "localhost", "localhost.",
    // IPv4 in odd notations, which URLs turn into what they are.
    "2130706433", "0x7f000001", "0177.0.0.1", "127.1", "0x7f.1", "①②⑦.⓪.⓪.①", "%31%32%37.0.0.1",
    // IPv4 within IPv6.
    "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::127.0.0.1]", "[64:ff9b::7f00:1]", "[64:ff9b:1::a00:1]", "[2002:7f00:1::]", "[2001:0:7f00:1::]",
    // Private, link-local, shared, site-local, unique local.
    "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "169.254.0.1", "100.64.0.1", "[fe80::1]", "[fec0::1]", "[fc00::1]", "[fd12:3456::1]",
    // Metadata of clouds.
    "169.254.169.254", "[fd00:ec2::254]", "100.100.100.200", "192.0.0.192", "168.63.129.16", "[::ffff:168.63.129.16]", "[::ffff:169.254.169.254]",
    // Nobody's: multicast, broadcast, documentation, benchmarks, reserved, discard.
    "224.0.0.1", "255.255.255.255", "192.0.2.1", "198.18.0.1", "240.0.0.1", "[ff02::1]", "[2001:db8::1]", "[100::1]", "[5f00::1]", "[4000::1]",
    // By name.
    "private.example", "mapped.example", "nat64.example", "mixed.example",
    // This machine, though no DNS server knows it.
    "hooks.localhost",
  ])("https://%s/", async (host) => {
    await expect(guard.addressesFor(new URL(`https://${host}/`))).rejects.toThrow(RefusedAddress);
  });

  test("those of this machine, public or not", async () => {
    const own = Object.values(networkInterfaces()).flatMap((all = []) => all.map(({ address }) => address));
    expect(own.length).toBeGreaterThan(0);
    for (const address of own) expect(guard.refusal("name", address, true)).not.toBe("");
  });

  test("other ports and schemes, and http", async () => {
    for (const url of ["https://public.example:22/", "https://public.example:6379/", "ftp://public.example/", "http://public.example/"]) {
      await expect(guard.addressesFor(new URL(url))).rejects.toThrow(RefusedAddress);
    }
  });

  test("what refuses does not tell what a name resolves to in here", async () => {
    const refused = await guard.addressesFor(new URL("https://private.example/")).catch((error: Error) => error.message);
    expect(refused).toBe("private.example has an address that is not public (private)");
  });

  test("a name without an address, or that cannot be resolved, may have one later", async () => {
    for (const name of ["empty.example", "unknown.example"]) {
      const error = await guard.addressesFor(new URL(`https://${name}/`)).catch((caught: unknown) => caught);
      expect(error).toBeInstanceOf(Error);
      expect(error).not.toBeInstanceOf(RefusedAddress);
    }
  });
});

describe("addresses that are open", () => {
  test("public ones by https", async () => {
    expect(await guardOf().addressesFor(new URL("https://public.example/x?y"))).toEqual(names["public.example"]);
    expect(await guardOf().addressesFor(new URL("https://8.8.8.8/"))).toEqual(["8.8.8.8"]);
    expect(await guardOf().addressesFor(new URL("https://[2606:4700::1111]:443/"))).toEqual(["2606:4700::1111"]);
  });

  test.each([
    ["a range", "10.1.0.0/16", "http://private.example/"],
    ["an address", "10.1.2.3", "http://private.example/"],
    ["a range of IPv6", "fd12::/16", "http://[fd12::5]/"],
    ["a range, by IPv4 in IPv6 too", "127.0.0.0/8", "http://mapped.example/"],
    ["a name, whatever it resolves to", "private.example", "http://private.example/"],
    ["a name in another case", "Private.Example", "https://PRIVATE.example/"],
  ])("%s that the operator allows, and http there", async (_, allow, url) => {
    expect(await guardOf([allow]).addressesFor(new URL(url))).toHaveLength(1);
  });

  test("an allowed range opens nothing beside it", async () => {
    const guard = guardOf(["10.1.0.0/16"]);
    await expect(guard.addressesFor(new URL("https://10.2.0.1/"))).rejects.toThrow(RefusedAddress);
    await expect(guard.addressesFor(new URL("https://mixed.example/"))).rejects.toThrow(RefusedAddress);
    await expect(guard.addressesFor(new URL("http://public.example/"))).rejects.toThrow(RefusedAddress);
  });

  test("ports that the operator adds", async () => {
    expect(await guardOf([], [443, 8443]).addressesFor(new URL("https://public.example:8443/"))).toHaveLength(2);
  });
});

test.each(["10.0.0.0/33", "10.0.0.300", "a b", "http://x", "", "-x.example", "*.example"])("%j cannot be allowed: it is nothing", (entry) => {
  expect(() => guardOf([entry])).toThrow(/neither a host name nor an address nor a range/);
});

test("a connection goes to the addresses that were judged and to no others, whatever is looked up", async () => {
  const lookup = fixedLookup(["93.184.215.14", "2606:2800::1"]);
  const look = (options: object): Promise<unknown[]> => new Promise((done) => lookup("anything.example", options, (...result) => done(result)));
  expect(await look({ all: true })).toEqual([null, [{ address: "93.184.215.14", family: 4 }, { address: "2606:2800::1", family: 6 }]]);
  expect(await look({})).toEqual([null, "93.184.215.14", 4]);
  expect(await look({ family: 6 })).toEqual([null, "2606:2800::1", 6]);
});
