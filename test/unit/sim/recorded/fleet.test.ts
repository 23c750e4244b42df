import { expect, test } from "@jest/globals";
import { GPU_KIND_NAMES, GPU_KINDS } from "../../../../src/simulated-gpu/gpu-kinds.js";
import { kindOfName } from "../../../../src/sim/recorded/fleet.js";

test.each([
  ["NVIDIA H100 80GB HBM3", "H100-80GB"],
  ["NVIDIA H200", "H200"],
  ["NVIDIA B200", "B200"],
  ["NVIDIA A100-SXM4-80GB", "A100-80GB"],
  ["NVIDIA A100-SXM4-40GB", "A100-40GB"],
  ["NVIDIA L40S", "L40S"],
  ["NVIDIA RTX PRO 6000 Blackwell Workstation Edition", "RTX-PRO-6000"],
  ["NVIDIA GeForce RTX 4090", "RTX-4090"],
  ["NVIDIA A10G", "A10G"],
  ["Tesla V100-SXM2-32GB", "V100-32GB"],
  ["Tesla V100-SXM2-16GB", "V100-16GB"],
  ["Tesla T4", "T4"],
  ["Tesla P100-SXM2-16GB", "P100"],
])("%s is %s", (name, kind) => {
  expect(kindOfName(name, new Map())).toBe(kind);
});

test.each(["NVIDIA H100 PCIe", "NVIDIA H100 NVL", "NVIDIA A100-SXM4-80GB MIG 3g.40gb", "NVIDIA L40", "NVIDIA A10", "NVIDIA GeForce RTX 4090 D", "Some GPU"])("%s is none of those that can be simulated, unless told", (name) => {
  expect(kindOfName(name, new Map())).toBeUndefined();
  expect(kindOfName(name, new Map([[name, "T4"]]))).toBe("T4");
});

test("every kind is known by the name under which it is simulated", () => {
  for (const kind of GPU_KIND_NAMES) expect(kindOfName(`Simulated NVIDIA ${GPU_KINDS[kind].product}`, new Map())).toBe(kind);
});
