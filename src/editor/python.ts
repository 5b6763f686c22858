/** The user's Python, as the Python extension knows it: the base of the environment that Netwright makes for itself. */
import type * as vscode from "vscode";

type Extensions = Pick<typeof vscode.extensions, "getExtension">;

/** What is used of ms-python.vscode-python-envs, whose API is the newer one. */
interface EnvironmentsApi {
  getEnvironment(scope: vscode.Uri | undefined): Promise<{ execInfo?: { run?: { executable?: string } } } | undefined>;
}

/** What is used of ms-python.python's API. */
interface PythonApi {
  environments: {
    getActiveEnvironmentPath(resource?: vscode.Uri): { path: string };
    resolveEnvironment(path: { path: string }): Promise<{ executable: { uri?: vscode.Uri } } | undefined>;
  };
}

/** The interpreter that is selected for a folder: by the environments API, else by the older API; null: whatever is on the path. */
export async function findInterpreter(extensions: Extensions, folder: vscode.Uri | undefined): Promise<string | null> {
  return (await fromEnvironments(extensions, folder)) ?? (await fromPython(extensions, folder));
}

async function fromEnvironments(extensions: Extensions, folder: vscode.Uri | undefined): Promise<string | null> {
  const extension = extensions.getExtension<EnvironmentsApi>("ms-python.vscode-python-envs");
  if (!extension) return null;
  try {
    const api = await extension.activate();
    return (await api.getEnvironment(folder))?.execInfo?.run?.executable ?? null;
  } catch {
    return null;
  }
}

async function fromPython(extensions: Extensions, folder: vscode.Uri | undefined): Promise<string | null> {
  const extension = extensions.getExtension<PythonApi>("ms-python.python");
  if (!extension) return null;
  try {
    const { environments } = await extension.activate();
    const resolved = await environments.resolveEnvironment(environments.getActiveEnvironmentPath(folder));
    return resolved?.executable.uri?.fsPath ?? null;
  } catch {
    return null;
  }
}
