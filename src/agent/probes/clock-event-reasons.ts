// The reasons why a GPU's clocks are below what they could be, as NVML numbers them. Used where nvidia-smi writes them out.

/** Bit by the name that nvidia-smi gives the reason in its XML, after "clocks_event_reason_" or "clocks_throttle_reason_". */
export const CLOCK_EVENT_REASONS: Readonly<Record<string, number>> = {
  gpu_idle: 0x1,
  applications_clocks_setting: 0x2,
  sw_power_cap: 0x4,
  hw_slowdown: 0x8,
  sync_boost: 0x10,
  sw_thermal_slowdown: 0x20,
  hw_thermal_slowdown: 0x40,
  hw_power_brake_slowdown: 0x80,
  display_clocks_setting: 0x100,
};
