// A field that chooses an emoji by its name: a combobox with a list, as the ARIA Authoring
// Practices have it.

import { make } from "./dom.js";
import { emojis, glyph, setGlyph } from "./emojis.js";

const MOST = 50;

// Return the emojis whose names have all words of the query, the closest names first; an emoji
// that is typed or pasted finds itself.
export function found(list, query) {
  const wanted = query.trim().toLowerCase();
  if (!wanted) return list.slice(0, MOST);
  const words = wanted.split(/\s+/);
  const ranked = [];
  list.forEach((one, place) => {
    const name = one.name.toLowerCase();
    if (one.emoji !== query.trim() && !words.every((word) => name.includes(word))) return;
    const starts = name.split(/[^\p{L}\p{N}]+/u).some((word) => word.startsWith(wanted));
    const level = name === wanted ? 0 : name.startsWith(wanted) ? 1 : starts ? 2 : 3;
    ranked.push([level, place, one]);
  });
  ranked.sort((a, b) => a[0] - b[0] || a[1] - b[1]);
  return ranked.slice(0, MOST).map(([, , one]) => one);
}

// `element` holds a .glyph, an <input role="combobox"> and a <ul role="listbox">.
export function chooser(element, onChoose) {
  const input = element.querySelector("input");
  const popup = element.querySelector("ul");
  const picture = element.querySelector(".glyph");
  let chosen = { emoji: "", name: "" };
  let offered = [];
  let active = 0;

  function mark(at) {
    active = at;
    [...popup.children].forEach((option, n) => {
      option.setAttribute("aria-selected", String(n === at));
      if (n === at) option.scrollIntoView({ block: "nearest" });
    });
    if (offered.length) input.setAttribute("aria-activedescendant", `${popup.id}-${at}`);
    else input.removeAttribute("aria-activedescendant");
  }

  async function open(query) {
    const { list } = await emojis();
    if (document.activeElement !== input) return;
    offered = found(list, query);
    popup.replaceChildren(
      ...offered.map(({ emoji, name }, n) =>
        make(
          "li",
          { role: "option", id: `${popup.id}-${n}` },
          glyph(emoji),
          make("span", { class: "name" }, name),
        ),
      ),
    );
    popup.hidden = !offered.length;
    input.setAttribute("aria-expanded", String(offered.length > 0));
    element.classList.toggle("unfound", !offered.length);
    const at = offered.findIndex(({ emoji }) => emoji === chosen.emoji);
    mark(Math.max(at, 0));
  }

  function close() {
    popup.hidden = true;
    input.setAttribute("aria-expanded", "false");
    input.removeAttribute("aria-activedescendant");
    element.classList.remove("unfound");
    input.value = chosen.name;
  }

  function set(one) {
    chosen = one;
    setGlyph(picture, one.emoji);
    close();
  }

  function choose(at) {
    set(offered[at]);
    input.select();
    onChoose(chosen);
  }

  const isOpen = () => !popup.hidden;

  input.addEventListener("input", () => open(input.value));
  input.addEventListener("focus", () => input.select());
  input.addEventListener("click", () => isOpen() || open(""));
  input.addEventListener("blur", close);
  popup.addEventListener("mousedown", (event) => event.preventDefault()); // the input keeps the focus
  popup.addEventListener("click", (event) => {
    const at = [...popup.children].indexOf(event.target.closest("li"));
    if (at >= 0) choose(at);
  });

  input.addEventListener("keydown", (event) => {
    if (event.isComposing) return;
    const { key } = event;
    if (key === "ArrowDown" || key === "ArrowUp") {
      event.preventDefault();
      const step = key === "ArrowDown" ? 1 : -1;
      if (isOpen()) mark((active + step + offered.length) % offered.length);
      else open("");
    } else if (key === "Enter" && isOpen()) {
      event.preventDefault();
      choose(active);
    } else if (key === "Escape") {
      if (isOpen() || input.value !== chosen.name) event.preventDefault();
      close();
    }
  });

  return { set, chosen: () => chosen };
}
