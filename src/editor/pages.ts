/** The host's side of the webviews: their HTML, and the messages of the contract. */
import { randomBytes } from "node:crypto";
import * as vscode from "vscode";
import {
  type CandidateAction,
  type FromWebview,
  type PageCommand,
  type PageName,
  pagePolicy,
  ROOTS,
  type ToWebview,
} from "../../webview/shared/contract.ts";
import { readFromWebview } from "../../webview/shared/read-message.ts";
import { WatchText } from "../engine/protocol.ts";
import type { Session } from "./session.ts";
import type { Studies } from "./studies.ts";

/** What a page can ask for beyond reading. */
export interface PageActions {
  step(candidates: number, mode: "full" | "delta"): void;
  resume(): void;
  stop(): void;
  run(action: CandidateAction, ids: number[]): void;
  command(command: PageCommand): void;
  useGeneration(generation: number): void;
  deleteGeneration(generation: number): void;
}

export interface PageContext {
  extension: vscode.Uri;
  session: Session;
  studies: Studies;
  actions: PageActions;
  selection: Selection;
  log: vscode.LogOutputChannel;
}

/** The selected candidates of the current study, shared by the pages and the palette's commands. */
export class Selection implements vscode.Disposable {
  readonly #changed = new vscode.EventEmitter<{ ids: readonly number[]; from: PageName | null }>();
  readonly onDidChange = this.#changed.event;
  readonly #subscriptions: vscode.Disposable[];
  #ids: readonly number[] = [];
  #study: string | null;
  #latest = false;

  constructor(studies: Pick<Studies, "current" | "onDidChange">) {
    this.#study = studies.current;
    this.#subscriptions = [
      this.#changed,
      studies.onDidChange(() => {
        const { current } = studies;
        // Numbers are a study's own: those of another one mean other nets. While none is known yet, there was none before.
        if (this.#study !== null && current !== this.#study) this.#replace([], null);
        this.#study = current ?? this.#study;
      }),
      vscode.window.onDidChangeActiveTextEditor(() => {
        this.#latest = false;
      }),
      // A click into the editor that was active all the time, while the keyboard was in a page.
      vscode.window.onDidChangeTextEditorSelection(({ textEditor }) => {
        if (textEditor === vscode.window.activeTextEditor) this.#latest = false;
      }),
    ];
  }

  get ids(): readonly number[] {
    return this.#ids;
  }

  /** The user chose these later than what the active editor shows. */
  get latest(): boolean {
    return this.#latest;
  }

  set(ids: readonly number[], from: PageName): void {
    // A page that is shown again repeats what was selected: nobody chose that now.
    if (ids.join() !== this.#ids.join()) this.#latest = ids.length > 0;
    this.#replace(ids, from);
  }

  #replace(ids: readonly number[], from: PageName | null): void {
    this.#ids = ids;
    this.#changed.fire({ ids, from });
  }

  dispose(): void {
    for (const subscription of this.#subscriptions) subscription.dispose();
  }
}

/** Connects one webview to the session for as long as it lives. `greet` is called when the page has loaded and has its first state. */
export function connectPage(
  page: PageName,
  webview: vscode.Webview,
  context: PageContext,
  greet?: () => void,
): vscode.Disposable {
  const { session, studies, actions, selection, log, extension } = context;
  const assets = vscode.Uri.joinPath(extension, "dist", "webview");
  webview.options = { enableScripts: true, localResourceRoots: [assets] };
  let watched: number | null = null;
  const post = (message: ToWebview) => void webview.postMessage(message);
  const state = () => {
    const why = session.blocked;
    if (why) post({ type: "blocked", why });
    else if (session.model) {
      const { candidates, ...rest } = session.model;
      post({ type: "snapshot", snapshot: { ...rest, candidates: [...candidates.values()] } });
    }
  };
  const settings = () => {
    const candidatesPerCycle = vscode.workspace.getConfiguration("netwright").get<number>("candidatesPerCycle", 8);
    post({ type: "settings", candidatesPerCycle });
  };
  /** What is shown is connected to. */
  const show = () => {
    state();
    if (session.blocked?.kind === "connecting") void session.show();
  };
  const watch = async (id: number | null) => {
    watched = id;
    const { text } = await session.request(WatchText, { id });
    if (id !== null && watched === id) post({ type: "written", id, text });
  };
  const receive = (message: FromWebview) => {
    switch (message.type) {
      case "ready":
      case "refresh":
        if (message.type === "refresh") session.retry();
        if (message.type === "ready") settings();
        show();
        if (message.type === "ready") greet?.();
        break;
      case "run":
        actions.run(message.action, message.ids);
        break;
      case "step":
        actions.step(message.candidates, message.mode);
        break;
      case "resume":
        actions.resume();
        break;
      case "stop":
        actions.stop();
        break;
      case "watch":
        watch(message.id).catch((error) => log.warn(String(error)));
        break;
      case "select":
        selection.set(message.ids, page);
        break;
      case "command":
        actions.command(message.command);
        break;
      case "useGeneration":
        actions.useGeneration(message.generation);
        break;
      case "deleteGeneration":
        actions.deleteGeneration(message.generation);
        break;
      case "chooseStudy":
        void studies.choose(message.dir);
        break;
    }
  };
  const subscriptions = [
    session.onDidReset(show),
    session.onDidChange((changes) => post({ type: "changes", ...changes })),
    session.onDidWrite(({ id, piece }) => {
      if (id === watched) post({ type: "writing", id, piece });
    }),
    selection.onDidChange(({ ids, from }) => {
      if (from !== page) post({ type: "select", ids: [...ids] });
    }),
    vscode.workspace.onDidChangeConfiguration((event) => {
      if (event.affectsConfiguration("netwright.candidatesPerCycle")) settings();
    }),
    webview.onDidReceiveMessage((value: unknown) => {
      const message = readFromWebview(value);
      if (message) receive(message);
      else log.warn(`A message of the ${page} does not follow the contract: ${JSON.stringify(value)?.slice(0, 200)}`);
    }),
  ];
  webview.html = html(page, webview, assets);
  return vscode.Disposable.from(...subscriptions);
}

function html(page: PageName, webview: vscode.Webview, assets: vscode.Uri): string {
  const nonce = randomBytes(16).toString("base64");
  const asset = (file: string) => webview.asWebviewUri(vscode.Uri.joinPath(assets, file));
  return `<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${pagePolicy(nonce, webview.cspSource)}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Netwright</title>
<link rel="stylesheet" href="${asset(`${page}.css`)}" id="vscode-codicon-stylesheet">
<script defer nonce="${nonce}" src="${asset(`${page}.js`)}"></script>
</head>
<body><${ROOTS[page]}></${ROOTS[page]}></body>
</html>`;
}

/** The side panel. */
export class Panel implements vscode.WebviewViewProvider {
  static readonly view = "netwright.panel";
  readonly #context: PageContext;
  #view: vscode.WebviewView | null = null;

  constructor(context: PageContext) {
    this.#context = context;
  }

  /** Whoever sees it needs no notification of how a cycle ended. */
  get visible(): boolean {
    return this.#view?.visible ?? false;
  }

  resolveWebviewView(view: vscode.WebviewView): void {
    this.#view = view;
    const connection = connectPage("panel", view.webview, this.#context);
    view.onDidDispose(() => {
      connection.dispose();
      this.#view = null;
    });
  }
}

/** The dashboard: one editor tab. */
export class Dashboard implements vscode.Disposable {
  readonly #context: PageContext;
  #panel: vscode.WebviewPanel | null = null;
  /** Waits for the page of a new tab to be there. */
  #greeting: ToWebview | null = null;

  constructor(context: PageContext) {
    this.#context = context;
  }

  show(): void {
    if (this.#panel) {
      this.#panel.reveal();
      return;
    }
    const panel = vscode.window.createWebviewPanel(
      "netwright.dashboard",
      "Netwright Dashboard",
      vscode.ViewColumn.Active,
      {},
    );
    this.adopt(panel);
  }

  /** Shows the tab with this generation in sight. */
  showGeneration(generation: number): void {
    const message: ToWebview = { type: "showGeneration", generation };
    if (this.#panel) {
      this.#panel.reveal();
      void this.#panel.webview.postMessage(message);
      return;
    }
    this.show();
    this.#greeting = message;
  }

  /** Takes over a tab: a new one, or one that the editor restored. */
  adopt(panel: vscode.WebviewPanel): void {
    panel.iconPath = vscode.Uri.joinPath(this.#context.extension, "media", "icon.png");
    const connection = connectPage("dashboard", panel.webview, this.#context, () => {
      const greeting = this.#greeting;
      this.#greeting = null;
      if (greeting) void panel.webview.postMessage(greeting);
    });
    this.#panel = panel;
    panel.onDidDispose(() => {
      connection.dispose();
      this.#panel = null;
    });
  }

  dispose(): void {
    this.#panel?.dispose();
  }
}
