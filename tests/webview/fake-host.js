// Stands in for VS Code in the page: keeps what the page posts and its state, and speaks for the extension.
// The state outlives a reload of the page, as VS Code keeps it while a view is hidden.
window.posted = [];
window.violations = [];
document.addEventListener("securitypolicyviolation", (event) => {
  window.violations.push(`${event.violatedDirective}: ${event.blockedURI} ${event.sourceFile}:${event.lineNumber}`);
});
window.acquireVsCodeApi = () => ({
  postMessage: (message) => window.posted.push(structuredClone(message)),
  getState: () => JSON.parse(sessionStorage.getItem("state") ?? "null") ?? undefined,
  setState: (state) => sessionStorage.setItem("state", JSON.stringify(state)),
});
window.say = (message) => window.dispatchEvent(new MessageEvent("message", { data: message }));
