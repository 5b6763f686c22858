import "@vscode/codicons/dist/codicon.css";
import "@vscode-elements/elements/dist/vscode-button/index.js";
import "@vscode-elements/elements/dist/vscode-progress-bar/index.js";
import "@vscode-elements/elements/dist/vscode-textfield/index.js";
import "../shared/base.css";
import "./panel.css";
import "./grid.ts";
import "./panel.ts";
