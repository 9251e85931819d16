// A line at the foot of the page for a moment; screen readers say it.

import { byId } from "./dom.js";

const SHOWN = 2500; // milliseconds
let timer = 0;

export function toast(...parts) {
  const element = byId("toast");
  clearTimeout(timer);
  element.replaceChildren(...parts);
  element.dataset.shown = "";
  timer = setTimeout(() => {
    delete element.dataset.shown;
    element.replaceChildren();
  }, SHOWN);
}
