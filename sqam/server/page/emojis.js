// All emojis, and how one is shown: in the system's font or as our own picture of 36×36 pixels.

import { call } from "./api.js";
import { make } from "./dom.js";
import { recall, remember } from "./memory.js";

const KEY = "sqam-pictures";
const SIZE = 36;
let loading = null;
let sheet = null;
let shown = false;

// Return the list of {emoji, name, group, version}, read once, and each one's place in it.
export function emojis() {
  loading ??= call("v1/emojis").then(
    ({ emojis: list }) => ({ list, places: new Map(list.map(({ emoji }, n) => [emoji, n])) }),
    (error) => {
      loading = null;
      throw error;
    },
  );
  return loading;
}

// Return an element for an emoji. It is for the eye: its name must stand beside it.
export function glyph(emoji, kind = "") {
  const element = make("span", { class: `glyph ${kind}`.trim(), "aria-hidden": "true" });
  setGlyph(element, emoji);
  return element;
}

export function setGlyph(element, emoji) {
  const place = shown ? sheet.places.get(emoji) : undefined;
  const cell = place !== undefined; // skin tones, above all, have no picture
  if (element.dataset.emoji === emoji && element.classList.contains("cell") === cell) return;
  element.dataset.emoji = emoji;
  element.classList.toggle("cell", cell);
  element.textContent = cell ? "" : emoji;
  if (cell) {
    element.style.setProperty("--column", place % sheet.columns);
    element.style.setProperty("--row", Math.floor(place / sheet.columns));
  }
}

export const picturesWanted = () => recall("localStorage", KEY) === "yes";

// Show all emojis of the page, and those to come, as our pictures or in the system's font.
export async function showPictures(wanted) {
  if (wanted) sheet ??= await readSheet();
  shown = wanted;
  remember("localStorage", KEY, wanted ? "yes" : "no");
  for (const element of document.querySelectorAll(".glyph")) {
    setGlyph(element, element.dataset.emoji);
  }
}

async function readSheet() {
  const image = new Image();
  image.src = "static/emojis.png";
  const [{ list, places }] = await Promise.all([emojis(), image.decode()]);
  const columns = Math.floor(image.naturalWidth / SIZE);
  if (columns * Math.floor(image.naturalHeight / SIZE) < list.length) {
    throw new Error("too few pictures");
  }
  const root = document.documentElement.style;
  root.setProperty("--sheet", `url(${image.src})`);
  root.setProperty("--columns", columns);
  return { columns, places };
}
