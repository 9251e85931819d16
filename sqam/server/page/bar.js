// A score as a bar and as a number.

import { make } from "./dom.js";

// Two digits, with a true minus.
export const shownScore = (score) => score.toFixed(2).replace("-", "−");

// Return the bar; it is for the eye, the number stands beside it.
export function bar(score = 0) {
  const element = make("span", { class: "bar", "aria-hidden": "true" }, make("span"));
  setBar(element, score);
  return element;
}

export function setBar(element, score) {
  element.firstChild.style.setProperty("--share", Math.max(score, 0));
}
