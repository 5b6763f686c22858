/** What a page shows while there is no study: why, and the next step. */
import { html, nothing, type TemplateResult } from "lit";
import { type Blocked, type FromWebview, type PageCommand, RESTRICTED } from "./contract.ts";
import { withoutCommands } from "./fixes.ts";
import { post } from "./host.ts";
import { icon, SPIN } from "./icon.ts";

const button = (label: string, message: FromWebview, secondary = false) =>
  html`<vscode-button block ?secondary=${secondary} @click=${() => post(message)}>${label}</vscode-button>`;

const command = (label: string, name: PageCommand, secondary = false) =>
  button(label, { type: "command", command: name }, secondary);

export function blockedView(why: Blocked): TemplateResult {
  return html`<h1 class="unseen">Netwright</h1>${reasonView(why)}`;
}

function reasonView(why: Blocked): TemplateResult {
  switch (why.kind) {
    case "connecting":
      return html`<p class="connecting" role="status">${icon("loading", SPIN)} Connecting to the study's engine…</p>`;
    case "no-folder":
      return welcome(
        "A study lives in a folder: its settings, its nets and their figures. Open a folder with a study, or one for a new study.",
        html`${command("Open Folder", "openFolder")}`,
      );
    case "no-study":
      return welcome(
        "There is no study in this folder yet. A study is a search for new networks on one data set: a local model designs them, each is checked and trained for one epoch, and you accept the good ones.",
        html`${command("New Study", "newStudy")}${command("Open Folder", "openFolder", true)}`,
      );
    case "several-studies":
      return welcome(
        "There are several studies here. Which one?",
        html`${why.studies.map(({ dir, name }) => studyButton(dir, name))}`,
      );
    case "untrusted":
      return welcome(RESTRICTED, html`${command("Manage Workspace Trust", "manageTrust")}`);
    case "failed":
      return html`<div class="welcome">
        ${problem(why.message)}
        ${why.code === "study-config" ? command("Open netwright.json", "openConfig") : nothing}
        ${READ_ONLY.test(why.code) ? command("Open Folder", "openFolder") : nothing}
        ${button("Try Again", { type: "refresh" }, why.code === "study-config" || READ_ONLY.test(why.code))}${command("Show Log", "showLog", true)}
      </div>`;
  }
}

/** Codes of errors that another folder helps with. */
const READ_ONLY = /^(file|read-only)$/;

const welcome = (text: string, buttons: TemplateResult) =>
  html`<div class="welcome">
    <p>${text}</p>
    ${buttons}
  </div>`;

const studyButton = (dir: string, name: string) =>
  html`<vscode-button block secondary title=${dir} @click=${() => post({ type: "chooseStudy", dir })}>${name}</vscode-button>`;

/** An error as VS Code's input validation frames it. */
export const problem = (message: string): TemplateResult =>
  html`<div class="problem" role="alert">${icon("error", "tone-bad")}<span class="message">${withoutCommands(message)}</span></div>`;
