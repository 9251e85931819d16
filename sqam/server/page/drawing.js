// A drawing as a picture that can be kept, and the real emojis that come nearest.

import { make } from "./dom.js";
import { glyph } from "./emojis.js";

export const names = (nearest) => nearest.map(({ name }) => name).join(", ");

// Return a list of the nearest emojis.
export function nearestList(nearest) {
  const list = make("ul", { class: "nearest" });
  fillNearest(list, nearest);
  return list;
}

export function fillNearest(list, nearest) {
  list.replaceChildren(
    ...nearest.map(({ emoji, name }) =>
      make("li", { title: name }, glyph(emoji), make("span", { class: "unseen" }, name)),
    ),
  );
}

// Return a link that saves a picture, a data URI, under a name.
export function download(png, name, of = "") {
  const link = make("a", { class: "button", href: png, download: name }, "Download PNG");
  if (of) link.append(make("span", { class: "unseen" }, ` of ${of}`));
  return link;
}

// Return a name for a file, of what a user typed: letters and digits alone.
export function fileName(...parts) {
  const typed = parts.join(" ").toLowerCase();
  const words = typed.match(/[a-z0-9]+/g) ?? ["drawing"];
  return `${words.join("-").slice(0, 60)}.png`;
}
