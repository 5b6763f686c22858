/** What is found here, what is missing, and how to mend it. */
import { statfsSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, resolve } from "node:path";
import { chooseDesigner, hasModel, listDesigners } from "../designer/index.ts";
import { ensureModel } from "../designer/models.ts";
import type { StudyConfig } from "../study/config.ts";
import { UserError } from "../study/ports.ts";
import { probeDevices } from "../trainer/devices.ts";
import { findPython, installedPython } from "../trainer/environment.ts";
import { requirePlatform, type SandboxReport, sandboxReport } from "../trainer/index.ts";
import { netwrightHome, pythonPackage } from "./paths.ts";
import { missingData, ollamaModel } from "./setup.ts";
import { openStudy, readStudyConfig } from "./study.ts";

export interface Finding {
  what: string;
  /** ok; note: works, but could be better; missing: a cycle cannot run. */
  state: "ok" | "note" | "missing";
  found: string;
  /** How to mend it; null when there is nothing to mend. */
  remedy: string | null;
  /** What a client can do about it: install what is missing, open the settings, open the study's configuration. */
  fix: "install" | "settings" | "study" | null;
}

const ok = (what: string, found: string): Finding => ({ what, state: "ok", found, remedy: null, fix: null });

/** Looks at everything a cycle needs. `dir` null: no study. */
export async function diagnose(dir: string | null, signal: AbortSignal): Promise<Finding[]> {
  const unsupported = examinePlatform(process.platform);
  if (unsupported) return [unsupported];
  const findings: Finding[] = [ok("Node", process.version)];
  const study = dir ? examineStudy(dir) : null;
  findings.push(...(await examinePython(signal)));
  findings.push(await examineDesigner(study?.config ?? null, signal));
  if (study) {
    findings.push(study.finding);
    if (study.config && dir) findings.push(examineData(study.config, dir));
  }
  findings.push(examineDisk());
  return findings;
}

/** Null where Netwright runs. Elsewhere nothing else is worth a look. */
export function examinePlatform(platform: NodeJS.Platform): Finding | null {
  try {
    requirePlatform(platform);
    return null;
  } catch (error) {
    return { what: "System", state: "missing", found: platform, remedy: (error as Error).message, fix: null };
  }
}

async function examinePython(signal: AbortSignal): Promise<Finding[]> {
  const installed = installedPython(netwrightHome(), pythonPackage);
  if (installed.python === null) {
    const remedy = "Installed before the first cycle, or now with: netwright setup";
    try {
      const { path, version } = await findPython(false, signal);
      return [
        {
          what: "Python",
          state: "note",
          found: `${path} (${version.join(".")}); its environment is not made yet`,
          remedy,
          fix: "install",
        },
      ];
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      return [{ what: "Python", state: "missing", found: "none that fits", remedy: error.message, fix: "settings" }];
    }
  }
  const { python } = installed;
  try {
    const { torch, cuda, threads } = await probeDevices(python, signal);
    const devices = cuda.map(
      ({ index, name, freeMiB, totalMiB }) => `cuda:${index} ${name}, ${freeMiB} of ${totalMiB} MiB free`,
    );
    return [
      ok("Python", `${python}, PyTorch ${torch}`),
      devices.length > 0
        ? ok("Training device", devices.join("; "))
        : {
            what: "Training device",
            state: "note",
            found: `the processor, ${threads} threads`,
            remedy: "A CUDA GPU trains far faster.",
            fix: null,
          },
      examineSandbox(await sandboxReport(python, pythonPackage, signal), process.platform),
    ];
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    return [{ what: "Python", state: "missing", found: python, remedy: error.message, fix: "install" }];
  }
}

const LAYERS: Record<string, string> = { landlock: "Landlock", rlimits: "resource limits" };

/** What holds here, and how more would. */
export function examineSandbox({ layers, why }: SandboxReport, platform: NodeJS.Platform): Finding {
  const found = layers.map((layer) => LAYERS[layer] ?? layer).join(", ");
  if (why === null && layers.includes("seccomp")) return ok("Sandbox", found);
  const remedy =
    platform === "darwin"
      ? "macOS limits the time, the processor and the files written of generated code, not what it reads, sends or takes of memory. In a Linux virtual machine all layers hold."
      : why === null
        ? "System calls cannot be filtered here: seccomp needs an x86-64 or ARM64 processor."
        : `${why}. On Debian: apt install bubblewrap`;
  return { what: "Sandbox", state: "note", found, remedy, fix: null };
}

export async function examineDesigner(config: StudyConfig | null, signal: AbortSignal): Promise<Finding> {
  const what = "Designer";
  const wanted = config?.designer ?? { provider: "auto" as const, model: null, host: null };
  try {
    const choice = await chooseDesigner(wanted, signal);
    const { ollama, embedded } = await listDesigners(wanted.host, netwrightHome(), signal);
    if (choice.provider === "ollama") {
      if (ollama.error) {
        const remedy = `${ollama.error.message}${proxyNote(ollama.address, process.env)}`;
        return { what, state: "missing", found: "no Ollama", remedy, fix: "settings" };
      }
      const model = ollamaModel(choice.model, ollama);
      const found = `${model}, through Ollama at ${ollama.address}`;
      if (hasModel(ollama.models, model)) return ok(what, found);
      const remedy = 'Name another in "designer.model", or pull it with: netwright setup';
      return { what, state: "missing", found: `${found}, which does not have it`, remedy, fix: "install" };
    }
    const model = embedded.find(({ name }) => name === choice.model);
    const besides = ollama.error ? "" : ` (Ollama at ${ollama.address} has no suitable model)`;
    if (!hasLlama()) {
      const remedy =
        "This copy of Netwright comes without llama.cpp, which the embedded model needs. Start Ollama and pull a coding model " +
        "(ollama pull qwen2.5-coder:1.5b), or install the Netwright package for " +
        `${process.platform}-${process.arch}.`;
      return { what, state: "missing", found: `${choice.model}, embedded${besides}`, remedy, fix: null };
    }
    // One that is not ours is a file: whether it is there, and is a model.
    if (!model) await ensureModel(choice.model, netwrightHome(), () => undefined, signal);
    if (!model || model.installed) return ok(what, `${choice.model}, embedded${besides}`);
    return {
      what,
      state: "note",
      found: `${model.title}, embedded, not downloaded yet${besides}`,
      remedy: "Downloaded before the first cycle, or now with: netwright setup",
      fix: "install",
    };
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    const fix = error.code.startsWith("model-") ? "study" : "settings";
    return { what, state: "missing", found: wanted.model ?? wanted.provider, remedy: error.message, fix };
  }
}

/** What to do about a server that only a proxy would reach; empty where none is set, or the server is here. */
export function proxyNote(address: string, environment: NodeJS.ProcessEnv): string {
  const set = Object.keys(environment).some((name) => /^(https?|all)_proxy$/i.test(name) && environment[name]);
  const host = URL.canParse(address) ? new URL(address).hostname : "";
  if (!set || /^(localhost|127\..*|\[::1\]|)$/.test(host)) return "";
  return " Ollama is reached directly, never through the proxy that is set here: where there is no direct way, make one, such as ssh -L 11434:127.0.0.1:11434 to its machine, and use 127.0.0.1.";
}

/** Whether the embedded model's program is in this copy: the package for every platform is without it. */
function hasLlama(): boolean {
  try {
    createRequire(import.meta.url).resolve("node-llama-cpp");
    return true;
  } catch {
    return false;
  }
}

function examineStudy(dir: string): { finding: Finding; config: StudyConfig | null } {
  let config: StudyConfig | null = null;
  try {
    config = readStudyConfig(dir);
    const study = openStudy(dir);
    const count = study.store.cycles().reduce((sum, { candidates }) => sum + candidates, 0);
    study.close();
    return { finding: ok("Study", `${config.name} in ${dir}, ${count} nets`), config };
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    return { finding: { what: "Study", state: "missing", found: dir, remedy: error.message, fix: "study" }, config };
  }
}

function examineData(config: StudyConfig, dir: string): Finding {
  const { dataset } = config.data;
  if (!missingData(config, dir)) return ok("Data", dataset);
  return {
    what: "Data",
    state: "note",
    found: `${dataset}, not prepared yet`,
    remedy: "Prepared before the first cycle, or now with: netwright setup",
    fix: "install",
  };
}

/** A cycle writes little; a full disk loses it all the same. */
const LEAST_FREE_BYTES = 1e9;

function examineDisk(): Finding {
  const home = netwrightHome();
  const free = freeBytes(home);
  const found = `${(free / 1e9).toFixed(1)} GB free for ${home}`;
  if (free >= LEAST_FREE_BYTES) return ok("Disk", found);
  return {
    what: "Disk",
    state: "note",
    found,
    remedy: "Free some space, or set NETWRIGHT_HOME to a folder on another disk.",
    fix: null,
  };
}

/** Of the disk that the folder lies on, or will lie on. */
function freeBytes(folder: string): number {
  for (let at = resolve(folder); ; at = dirname(at)) {
    try {
      const { bavail, bsize } = statfsSync(at);
      return bavail * bsize;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
    }
  }
}
