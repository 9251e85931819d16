// The bearer token: asked for when the service wants one, kept while the tab is open.

import { byId } from "./dom.js";
import { recall, remember } from "./memory.js";

const KEY = "sqam-token";
let asking = null;

export const token = () => recall("sessionStorage", KEY) || null;

// Ask, and tell whether a token was given. All calls that wait share one question.
export function askToken(refused, signal) {
  asking ??= ask(refused).finally(() => {
    asking = null;
  });
  return asking.then((given) => {
    signal?.throwIfAborted();
    return given;
  });
}

function ask(refused) {
  const dialog = byId("token");
  const input = byId("token-value");
  byId("token-refused").hidden = !refused;
  input.value = "";
  return new Promise((resolve) => {
    let given = false;
    const submit = (event) => {
      event.preventDefault();
      const value = input.value.trim();
      if (!value) return;
      remember("sessionStorage", KEY, value);
      given = true;
      dialog.close();
    };
    const form = dialog.querySelector("form");
    form.addEventListener("submit", submit);
    byId("token-cancel").onclick = () => dialog.close();
    dialog.addEventListener(
      "close",
      () => {
        form.removeEventListener("submit", submit);
        resolve(given);
      },
      { once: true },
    );
    dialog.showModal();
  });
}
