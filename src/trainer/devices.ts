/** What PyTorch can run on here, asked in a short process of its own: the worker itself never touches a device. */
import { execFile } from "node:child_process";
import { readdirSync } from "node:fs";
import { promisify } from "node:util";
import { z } from "zod";
import { UserError } from "../study/ports.ts";

const run = promisify(execFile);

const PROBE = `
import json, os, sys, torch
cuda = []
for index in range(torch.cuda.device_count() if torch.cuda.is_available() else 0):
    free, total = torch.cuda.mem_get_info(index)
    cuda.append({"index": index, "name": torch.cuda.get_device_name(index), "totalMiB": total >> 20, "freeMiB": free >> 20})
threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
json.dump({"torch": torch.__version__, "cuda": cuda, "threads": threads}, sys.stdout)
`;

const devicesSchema = z.object({
  torch: z.string(),
  cuda: z.array(z.object({ index: z.number(), name: z.string(), totalMiB: z.number(), freeMiB: z.number() })),
  /** Processors this process may use. */
  threads: z.number(),
});
export type Devices = z.infer<typeof devicesSchema>;

/** @throws UserError "python-unsuitable" when `python` cannot be run or has no working PyTorch. */
export async function probeDevices(python: string, signal: AbortSignal): Promise<Devices> {
  try {
    const { stdout } = await run(python, ["-s", "-c", PROBE], { signal, killSignal: "SIGKILL" });
    return devicesSchema.parse(JSON.parse(stdout));
  } catch (error) {
    signal.throwIfAborted();
    const { stderr, message } = error as Error & { stderr?: string };
    const why = stderr?.trim().split("\n").at(-1) || message;
    throw new UserError("python-unsuitable", `PyTorch does not work in ${python}: ${why}. See: netwright doctor`, {
      cause: error,
    });
  }
}

/** The files through which a GPU is driven. */
export function gpuFiles(): string[] {
  if (process.platform !== "linux") return [];
  // nvidia-caps is a folder; dxg is the GPU under WSL.
  return readdirSync("/dev")
    .filter((name) => name.startsWith("nvidia") || name === "dxg")
    .map((name) => `/dev/${name}`);
}

/**
 * The device `wanted` stands for: "auto" is the GPU with the most free memory, or else "cpu"; "cuda" is GPU 0.
 * @throws UserError "no-such-device"
 */
export async function chooseDevice(python: string, wanted: string, signal: AbortSignal): Promise<string> {
  if (wanted === "cpu") return "cpu";
  // Loading PyTorch to be told that there is no GPU takes seconds.
  if (wanted === "auto" && process.platform === "linux" && gpuFiles().length === 0) return "cpu";
  const { cuda } = await probeDevices(python, signal);
  if (wanted === "auto") {
    const best = cuda.reduce<Devices["cuda"][number] | null>((a, b) => (a && a.freeMiB >= b.freeMiB ? a : b), null);
    return best ? `cuda:${best.index}` : "cpu";
  }
  const index = Number(/^cuda(?::(\d+))?$/.exec(wanted)?.[1] ?? 0);
  if (!cuda.some((device) => device.index === index)) {
    const found = cuda.map((device) => `cuda:${device.index} (${device.name})`).join(", ") || "no GPU";
    throw new UserError(
      "no-such-device",
      `PyTorch cannot use ${wanted} here; it found ${found}. Set the trainer's device to "auto", "cpu" or one of those.`,
    );
  }
  return `cuda:${index}`;
}
