// Type, and the ranking follows.

import { announce } from "./announce.js";
import { call } from "./api.js";
import { bar, setBar, shownScore } from "./bar.js";
import { copyEmoji } from "./copy.js";
import { byId, make } from "./dom.js";
import { glyph, setGlyph } from "./emojis.js";
import { field } from "./field.js";
import { latest } from "./latest.js";
import { listbox } from "./list.js";
import { notice } from "./notice.js";
import { showPulls, summary } from "./pulls.js";

const FEW = 12;
const MANY = 48;
const TYPING = 60; // milliseconds
const EXPLAINING = 220;

export function rank(changed) {
  const results = byId("rank-results");
  const empty = byId("rank-empty");
  const options = byId("rank-options");
  const more = byId("rank-more");
  const pulls = byId("rank-pulls");
  const why = byId("rank-why");
  const ranking = latest(notice(byId("rank-notice")));
  const explaining = latest();
  const explained = new Map(); // of the text that is shown, by emoji
  let k = FEW;
  let grow = false; // the button that asked for more goes, and the focus to the first of these
  let shown = { text: "", matches: [] };

  const text = field(byId("rank-text"), {
    onInput: () => {
      k = FEW;
      update(TYPING);
    },
    onEnter: () => shown.matches.length && copy(0),
    onDown: () => shown.matches.length && list.go(0),
  });

  const list = listbox(options, {
    onSelect: preview,
    onChoose: copy,
    onLeave: text.focus,
  });

  byId("rank-copy").addEventListener("click", () => copy(list.selected()));
  more.addEventListener("click", () => {
    k = MANY;
    grow = true;
    update(0);
  });
  for (const button of byId("rank-examples").querySelectorAll("button")) {
    button.addEventListener("click", () => {
      text.set(button.textContent);
      text.focus();
      k = FEW;
      update(0);
    });
  }

  function copy(at) {
    const { emoji, name } = shown.matches[at];
    copyEmoji(emoji, name);
  }

  function update(delay) {
    changed();
    const asked = text.value();
    if (!asked.trim()) {
      ranking.stop();
      show({ text: asked, matches: [] });
      return;
    }
    ranking.run(
      ({ signal, waiting }) => call("v1/rank", { body: { text: asked, k }, signal, waiting }),
      ({ results: [result] }) => show({ text: asked, matches: result.matches }),
      delay,
    );
  }

  function show(result) {
    if (result.text !== shown.text) explained.clear();
    const before = shown.matches.length;
    shown = result;
    const { matches } = shown;
    results.hidden = !matches.length;
    empty.hidden = matches.length > 0;
    if (!matches.length) {
      explaining.stop();
      options.replaceChildren();
      const blank = !shown.text.trim();
      byId("rank-empty-title").textContent = blank ? "Type a few words" : "No known word in this";
      byId("rank-empty-line").textContent = blank
        ? "The emojis that fit them appear as you type."
        : "The model reads everyday English. Try saying it in other words.";
      announce(blank ? "" : "No emoji: the model knows none of these words.");
      return;
    }
    // Rows are filled again rather than made anew, so that bars move and nothing flickers.
    matches.forEach((match, n) =>
      fill(options.children[n] ?? options.appendChild(row()), match, n),
    );
    while (options.children.length > matches.length) options.lastChild.remove();
    more.hidden = k === MANY || matches.length < k;
    list.reset();
    preview(0);
    if (grow) list.go(before);
    grow = false;
    announce(`${matches.length} emojis. First: ${matches[0].name}. Arrow down to choose.`);
  }

  function preview(at) {
    const { emoji, name, score } = shown.matches[at];
    setGlyph(byId("rank-glyph"), emoji);
    byId("rank-name").textContent = name;
    byId("rank-score").textContent = shownScore(score);
    byId("rank-place").textContent = `No. ${at + 1}`;
    explain(emoji);
  }

  function explain(emoji) {
    const asked = shown.text;
    const known = explained.get(emoji);
    if (known) {
      explaining.stop();
      tell(asked, known);
      return;
    }
    if (pulls.dataset.text !== asked) {
      pulls.dataset.text = asked;
      pulls.textContent = asked;
      why.textContent = "";
    }
    explaining.run(
      ({ signal }) => call("v1/explain", { body: { text: asked, k: 1, among: [emoji] }, signal }),
      (answer) => {
        explained.set(emoji, answer);
        tell(asked, answer);
      },
      EXPLAINING,
    );
  }

  function tell(asked, { explanations: [{ tokens }], "passed over": passedOver }) {
    pulls.dataset.text = asked;
    showPulls(pulls, asked, tokens);
    why.textContent = summary(asked, tokens, passedOver);
  }

  return {
    id: "rank",
    // Show what a link asks for, or the example.
    open(parameters) {
      if (parameters.has("q")) text.set(parameters.get("q"));
      k = FEW;
      update(0);
    },
    // Typing replaces the example. On a phone this would call the keyboard up, unasked.
    focus: () => matchMedia("(hover: hover)").matches && text.focus({ select: true }),
    link: () => ({ q: text.value() }),
    text: () => text.value(),
  };
}

function row() {
  return make(
    "li",
    { role: "option", class: "match" },
    make("span", { class: "place", "aria-hidden": "true" }),
    glyph(""),
    make("span", { class: "name" }),
    bar(),
    make("span", { class: "score" }),
  );
}

function fill(element, { emoji, name, score }, n) {
  const [place, picture, label, share, number] = element.children;
  place.textContent = n + 1;
  setGlyph(picture, emoji);
  label.textContent = name;
  setBar(share, score);
  number.textContent = shownScore(score);
  element.setAttribute("aria-label", `${name}, score ${shownScore(score)}`);
}
