/** What the user set, as the environment of the children: engine and commands. The editor's own environment is left as it is. */
import * as vscode from "vscode";

/** A setting comes first; where it is empty, the variable that the editor was started with stays. */
export function childEnvironment(): NodeJS.ProcessEnv {
  const settings = vscode.workspace.getConfiguration("netwright");
  const proxy = vscode.workspace.getConfiguration("http").get<string>("proxy", "");
  const { HTTP_PROXY, HTTPS_PROXY, http_proxy, https_proxy } = process.env;
  return {
    ...process.env,
    ...(proxy && !HTTP_PROXY && !http_proxy ? { HTTP_PROXY: proxy } : {}),
    ...(proxy && !HTTPS_PROXY && !https_proxy ? { HTTPS_PROXY: proxy } : {}),
    ...given("NETWRIGHT_PYTHON", settings.get<string>("python", "")),
    ...given("NETWRIGHT_HOME", settings.get<string>("home", "")),
    ...given("OLLAMA_HOST", settings.get<string>("ollamaHost", "")),
  };
}

const given = (name: string, value: string) => (value ? { [name]: value } : {});

/** The settings that the environment comes from. */
export const ENVIRONMENT_SETTINGS = ["netwright.python", "netwright.home", "netwright.ollamaHost", "http.proxy"];
