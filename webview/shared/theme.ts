/** The theme's colours for what is drawn on a canvas, and word of a change. */

/** The first of the variables ("charts-blue") that the theme sets; its foreground otherwise. */
export function themeColor(...names: string[]): string {
  const style = getComputedStyle(document.body);
  for (const name of [...names, "foreground"]) {
    const value = style.getPropertyValue(`--vscode-${name}`).trim();
    if (value) return value;
  }
  return style.color;
}

/** `scale`: of the canvas's pixels to the page's, where it is not scaled itself. */
export const themeFont = (scale = 1): string => {
  const { fontFamily } = getComputedStyle(document.body);
  return `${11 * scale}px ${fontFamily}`;
};

/** Calls back when VS Code writes another theme into the page: the body's class and the root's variables. */
export function onThemeChange(changed: () => void): void {
  const observer = new MutationObserver(changed);
  observer.observe(document.body, { attributes: true, attributeFilter: ["class"] });
  observer.observe(document.documentElement, { attributes: true, attributeFilter: ["style"] });
}
