// A text, and the same text with emojis.

import { announce } from "./announce.js";
import { call } from "./api.js";
import { bar, shownScore } from "./bar.js";
import { copyText } from "./copy.js";
import { byId, count, make } from "./dom.js";
import { glyph } from "./emojis.js";
import { field } from "./field.js";
import { latest } from "./latest.js";
import { notice } from "./notice.js";

const TYPING = 250; // milliseconds
// "balanced" leaves the least score to the service.
const LEAST_SCORES = { sparing: 0.7, balanced: undefined, generous: 0.45 };

export function emojify(changed) {
  const output = byId("emojify-output");
  const inserted = byId("emojify-inserted");
  const copy = byId("emojify-copy");
  const work = latest(notice(byId("emojify-notice")));
  const text = field(byId("emojify-text"), { onInput: () => update(TYPING) });
  const form = byId("emojify-options");
  let emojified = "";

  form.addEventListener("change", () => update(0));
  copy.addEventListener("click", () => copyText(emojified, "the text with its emojis"));

  function update(delay) {
    changed();
    const asked = text.value();
    if (!asked.trim()) {
      work.stop();
      show({ text: "", emojified: "", insertions: [] });
      return;
    }
    const body = {
      text: asked,
      max_per_sentence: Number(form.elements.most.value),
      min_score: LEAST_SCORES[form.elements.least.value],
    };
    work.run(
      ({ signal, waiting }) => call("v1/emojify", { body, signal, waiting }),
      ({ results: [result] }) => show(result),
      delay,
    );
  }

  function show(result) {
    emojified = result.emojified;
    const characters = [...result.text];
    const parts = [];
    let end = 0;
    for (const { position, emoji, name } of result.insertions) {
      const picture = glyph(emoji, "inserted");
      picture.removeAttribute("aria-hidden");
      picture.setAttribute("role", "img");
      picture.setAttribute("aria-label", name);
      picture.title = name;
      parts.push(characters.slice(end, position).join(""), " ", picture);
      end = position;
    }
    parts.push(characters.slice(end).join(""));
    output.replaceChildren(...parts);
    inserted.replaceChildren(
      ...result.insertions.map(({ emoji, name, score }) =>
        make(
          "li",
          {},
          glyph(emoji),
          make("span", { class: "name" }, name),
          bar(score),
          make("span", { class: "score" }, shownScore(score)),
        ),
      ),
    );
    copy.disabled = !emojified;
    const line = lineOn(result);
    byId("emojify-line").textContent = line;
    announce(line);
  }

  function lineOn({ text: asked, insertions }) {
    if (!asked.trim()) return "Type or paste a text; it comes back with an emoji where one fits.";
    if (!insertions.length) return "No sentence here asks for an emoji. Try “Generous”.";
    return `${count(insertions.length, "emoji")} put in.`;
  }

  return {
    id: "emojify",
    open(parameters) {
      if (parameters.has("q")) text.set(parameters.get("q"));
      for (const name of ["least", "most"]) {
        const options = [...form.elements[name]];
        const asked = options.find(({ value }) => value === parameters.get(name));
        if (asked) asked.checked = true;
      }
      update(0);
    },
    link() {
      const { least, most } = form.elements;
      return {
        q: text.value(),
        least: least.value === "balanced" ? "" : least.value,
        most: most.value === "1" ? "" : most.value,
      };
    },
  };
}
