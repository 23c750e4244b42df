// Answers of nvidia-smi, as short as can be, for the tests of their readers.

export const UUID = "GPU-513536b6-7d19-9063-b049-1e69664bb298";

/** What a test may put in place of a figure. */
export interface Words {
  readonly used?: string;
  readonly util?: string;
  readonly temperature?: string;
  readonly power?: string;
  readonly limit?: string;
  readonly ecc?: string;
}

/** `nvidia-smi -q -x` of one GPU. `mig` goes in before the memory, `processes` beside the others. */
export function smiXml({ used = "100 MiB", util = "65 %", temperature = "40 C", power = "120.50 W", limit = "300.00 W", ecc = "3" }: Words = {}, mig = "", processes = ""): string {
  return `<?xml version="1.0" ?>
<!DOCTYPE nvidia_smi_log SYSTEM "nvsmi_device_v12.dtd">
<nvidia_smi_log>
  <driver_version>550.1</driver_version>
  <gpu id="00000000:01:00.0">
    <product_name>NVIDIA X &amp; Y</product_name>${mig}
    <uuid>${UUID}</uuid>
    <clocks_event_reasons>
      <clocks_event_reason_gpu_idle>Not Active</clocks_event_reason_gpu_idle>
      <clocks_event_reason_sw_power_cap>Active</clocks_event_reason_sw_power_cap>
      <clocks_event_reason_hw_power_brake_slowdown>Active</clocks_event_reason_hw_power_brake_slowdown>
      <clocks_event_reason_of_tomorrow>Active</clocks_event_reason_of_tomorrow>
    </clocks_event_reasons>
    <fb_memory_usage><total>1000 MiB</total><reserved>20 MiB</reserved><used>${used}</used><free>880 MiB</free></fb_memory_usage>
    <utilization><gpu_util>${util}</gpu_util><memory_util>9 %</memory_util></utilization>
    <ecc_errors><volatile>
      <sram_correctable>${ecc}</sram_correctable>
      <sram_uncorrectable_parity>${ecc}</sram_uncorrectable_parity>
      <sram_uncorrectable_secded>${ecc}</sram_uncorrectable_secded>
      <dram_correctable>N/A</dram_correctable>
    </volatile></ecc_errors>
    <temperature><gpu_temp>${temperature}</gpu_temp></temperature>
    <gpu_power_readings><instant_power_draw>${power}</instant_power_draw><current_power_limit>${limit}</current_power_limit></gpu_power_readings>
    <processes>
      <process_info><gpu_instance_id>N/A</gpu_instance_id><compute_instance_id>N/A</compute_instance_id><pid>7</pid><used_memory>22 MiB</used_memory></process_info>
      <process_info><gpu_instance_id>N/A</gpu_instance_id><compute_instance_id>N/A</compute_instance_id><pid>8</pid><used_memory>N/A</used_memory></process_info>${processes}
    </processes>
  </gpu>
</nvidia_smi_log>
`;
}

/** The same GPU in MIG mode, with two instances and a process on the first. */
export function migXml(): string {
  const device = (index: number, gi: number, ci: number, multiprocessors: number, total: number): string =>
    `<mig_device><index>${index}</index><gpu_instance_id>${gi}</gpu_instance_id><compute_instance_id>${ci}</compute_instance_id>
      <device_attributes><shared><multiprocessor_count>${multiprocessors}</multiprocessor_count></shared></device_attributes>
      <fb_memory_usage><total>${total} MiB</total><used>10 MiB</used><free>${total - 10} MiB</free></fb_memory_usage></mig_device>`;
  return smiXml(
    {},
    `<mig_mode><current_mig>Enabled</current_mig></mig_mode><mig_devices>${device(0, 3, 0, 14, 200)}${device(1, 2, 1, 28, 400)}</mig_devices>`,
    "<process_info><gpu_instance_id>3</gpu_instance_id><compute_instance_id>0</compute_instance_id><pid>9</pid><used_memory>5 MiB</used_memory></process_info>",
  );
}

/** `nvidia-smi -L` of the same. */
export const MIG_LISTING = `GPU 0: NVIDIA X & Y (UUID: ${UUID})
  MIG 1g.10gb     Device  0: (UUID: MIG-aa)
  MIG 1c.3g.40gb  Device  1: (UUID: MIG-bb)
`;
