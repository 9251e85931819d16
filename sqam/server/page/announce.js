// Says what changed to those who hear the page: once, when it has come to rest.

import { byId } from "./dom.js";

const REST = 1000; // milliseconds
let timer = 0;

export function announce(line) {
  clearTimeout(timer);
  timer = setTimeout(() => {
    byId("announcements").textContent = line;
  }, REST);
}
