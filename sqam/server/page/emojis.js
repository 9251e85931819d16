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
  if (element.dataset.emoji === emoji && element.classList.contains("cell") === (place >= 0)) return;
  element.dataset.emoji = emoji;
  element.classList.toggle("cell", place !== undefined);
  element.textContent = place === undefined ? emoji : "";
  if (place !== undefined) {
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
  for (const element of document.querySelectorAll(".glyph")) setGlyph(element, element.dataset.emoji);
}

async function readSheet() {
  const [{ list, places }, response] = await Promise.all([emojis(), fetch("static/emojis.png")]);
  if (!response.ok) throw new Error(`static/emojis.png: ${response.status}`);
  const image = await createImageBitmap(await response.blob());
  const columns = Math.floor(image.width / SIZE);
  if (columns * Math.floor(image.height / SIZE) < list.length) throw new Error("too small a sheet");
  const canvas = make("canvas", { width: image.width, height: image.height });
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(image, 0, 0);
  // The file has colours times alpha, which would show soft edges too dark.
  const levels = context.getImageData(0, 0, canvas.width, canvas.height);
  const { data } = levels;
  for (let at = 0; at < data.length; at += 4) {
    const alpha = data[at + 3];
    if (alpha === 0 || alpha === 255) continue;
    for (let channel = at; channel < at + 3; channel += 1) {
      data[channel] = (data[channel] * 255) / alpha; // rounds, and stops at 255
    }
  }
  context.putImageData(levels, 0, 0);
  const blob = await new Promise((resolve) => canvas.toBlob(resolve));
  const root = document.documentElement.style;
  root.setProperty("--sheet", `url(${URL.createObjectURL(blob)})`);
  root.setProperty("--columns", columns);
  return { columns, places };
}
