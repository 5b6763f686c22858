/** Inline styles under a policy that forbids style attributes: lit's `styleMap` writes the attribute at first, this never does. */

import { noChange } from "lit";
import { Directive, directive, type ElementPart } from "lit/directive.js";

type Styles = Record<string, string>;

class Styled extends Directive {
  #last: Styles = {};

  override render(_styles: Styles): typeof noChange {
    return noChange;
  }

  override update(part: ElementPart, [styles]: [Styles]): typeof noChange {
    const { style } = part.element as HTMLElement | SVGElement;
    for (const [name, value] of Object.entries(styles)) {
      if (this.#last[name] !== value) style.setProperty(name, value);
    }
    this.#last = styles;
    return noChange;
  }
}

/** Used as `<div ${styled({ width: "10px" })}>`: always the same properties for one element. */
export const styled = directive(Styled);
