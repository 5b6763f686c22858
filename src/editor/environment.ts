/** What the user set, as the environment of the children: engine and commands. The editor's own environment is left as it is. */
import type * as vscode from "vscode";

type Settings = Pick<typeof vscode.workspace, "getConfiguration">;

/** A setting comes first; where it is empty, the variable that the editor was started with stays. */
export function childEnvironment(workspace: Settings, base: NodeJS.ProcessEnv = process.env): NodeJS.ProcessEnv {
  const settings = workspace.getConfiguration("netwright");
  const python = settings.get<string>("python", "");
  return {
    ...base,
    ...proxies(workspace, base),
    ...given("NETWRIGHT_PYTHON", python),
    // Errors then name what the user can change here.
    ...(python || !base.NETWRIGHT_PYTHON ? { NETWRIGHT_PYTHON_SETTING: "the setting netwright.python" } : {}),
    ...given("NETWRIGHT_HOME", settings.get<string>("home", "")),
    ...given("OLLAMA_HOST", settings.get<string>("ollamaHost", "")),
  };
}

/**
 * The editor's proxy, for what fetches Python packages and data. Never for this machine: a mirror may run here. Ollama and models are
 * reached without one in any case (src/designer/http.ts).
 */
function proxies(workspace: Settings, base: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const settings = workspace.getConfiguration("http");
  const proxy = settings.get<string>("proxy", "");
  if (!proxy) return {};
  const has = (name: string) => Boolean(base[name] || base[name.toLowerCase()]);
  const direct = ["localhost", "127.0.0.1", "::1", ...settings.get<string[]>("noProxy", [])];
  return {
    ...(has("HTTP_PROXY") ? {} : { HTTP_PROXY: proxy }),
    ...(has("HTTPS_PROXY") ? {} : { HTTPS_PROXY: proxy }),
    ...(has("NO_PROXY") ? {} : { NO_PROXY: direct.join(",") }),
  };
}

const given = (name: string, value: string) => (value ? { [name]: value } : {});

/** The settings that the environment comes from. */
export const ENVIRONMENT_SETTINGS = [
  "netwright.python",
  "netwright.home",
  "netwright.ollamaHost",
  "http.proxy",
  "http.noProxy",
];
