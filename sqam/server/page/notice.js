// The line of a panel that says what it waits for, or what went wrong and what to do.

import { make } from "./dom.js";
import { Problem } from "./api.js";

const QUIET = 500; // milliseconds before a call counts as slow

// Fill an element with role="status"; `slow` is said of a call that takes longer than a moment.
export function notice(element, slow = "Still working…") {
  let timer = 0;
  let again = null;

  function clear() {
    clearTimeout(timer);
    again = null;
    element.replaceChildren();
    delete element.dataset.kind;
  }

  function waiting(line) {
    clearTimeout(timer);
    element.dataset.kind = "waiting";
    element.replaceChildren(make("span", { class: "spinner", "aria-hidden": "true" }), line);
  }

  // A call began; an older message stays until it is slow.
  function working() {
    clearTimeout(timer);
    if (element.dataset.kind !== "waiting") timer = setTimeout(() => waiting(slow), QUIET);
  }

  function problem(error, retry) {
    clearTimeout(timer);
    element.dataset.kind = "problem";
    const known = error instanceof Problem;
    if (!known) console.error(error);
    const line = known ? error.message : "Something went wrong in this page. Try again.";
    element.replaceChildren(make("span", {}, line));
    again = retry;
    if (retry && !(error.status === 422 || error.status === 413)) {
      const button = make("button", { type: "button", class: "quiet" }, "Try again");
      button.addEventListener("click", retry);
      element.append(button);
    } else {
      again = null;
    }
  }

  addEventListener("online", () => again?.());
  return { clear, waiting, working, problem };
}
