// New emojis: drawn for a sentence, or at random.

import { announce } from "./announce.js";
import { call } from "./api.js";
import { bar, shownScore } from "./bar.js";
import { byId, count, make } from "./dom.js";
import { download, fileName, names, nearestList } from "./drawing.js";
import { setGlyph } from "./emojis.js";
import { field } from "./field.js";
import { latest } from "./latest.js";
import { notice } from "./notice.js";

const AT_RANDOM = 8;
const FOR_TEXT = 4;
const FIRST_SEED = 7;
const SEEDS = 100000;

export function imagine(changed, sentence) {
  const cards = byId("imagine-cards");
  const best = byId("imagine-best");
  const work = latest(
    notice(byId("imagine-notice"), "Looking for drawings; this takes some seconds…"),
  );
  const text = field(byId("imagine-text"), { onInput: () => {}, onEnter: start });
  let asked = { q: "", seed: FIRST_SEED };

  byId("imagine-start").addEventListener("click", start);
  byId("imagine-random").addEventListener("click", () =>
    ask({ q: "", seed: Math.floor(Math.random() * SEEDS) }),
  );

  // The same sentence once more gives other drawings.
  function start() {
    const q = text.value().trim();
    if (!q) {
      byId("imagine-line").textContent = "Type a sentence first, or draw some at random.";
      text.focus();
      return;
    }
    ask({ q, seed: q === asked.q ? asked.seed + 1 : 0 });
  }

  function ask(what) {
    asked = what;
    changed();
    const n = asked.q ? FOR_TEXT : AT_RANDOM;
    best.hidden = true;
    cards.setAttribute("aria-busy", "true");
    cards.replaceChildren(...Array.from({ length: n }, () => make("li", { class: "card blank" })));
    byId("imagine-line").textContent = "";
    const { q, seed } = asked;
    work.run(
      ({ signal, waiting }) =>
        q
          ? call("v1/imagine", { body: { text: q, n, seed }, signal, waiting })
          : call(`v1/generate?n=${n}&seed=${seed}`, { signal, waiting }),
      (answer) => show(answer, q),
    );
  }

  function show({ drawings, best_emoji: real }, q) {
    cards.removeAttribute("aria-busy");
    cards.replaceChildren(...drawings.map((drawing, n) => card(drawing, n, q)));
    best.hidden = !real;
    if (real) {
      setGlyph(byId("imagine-best-glyph"), real.emoji);
      byId("imagine-best-line").textContent = `${real.name}, ${shownScore(real.score)}`;
    }
    const line = q
      ? `${count(drawings.length, "drawing")} for “${q}”, best first. None of them is an emoji that exists.`
      : `${count(drawings.length, "drawing")} that nobody has seen before. Or type a sentence, and they fit it.`;
    byId("imagine-line").textContent = line;
    announce(line);
  }

  return {
    id: "imagine",
    open(parameters) {
      const q = parameters.get("q") ?? "";
      const seed = Number.parseInt(parameters.get("seed"), 10);
      if (q) text.set(q);
      else if (!text.value()) text.set(sentence());
      ask({ q, seed: seed >= 0 ? seed : q ? 0 : FIRST_SEED });
    },
    link: () => asked,
  };
}

function card({ png, score, nearest }, n, q) {
  const what = `drawing ${n + 1}`;
  const image = make("img", { src: png, width: 144, height: 144, class: "picture" });
  image.alt = `${what}, nearest to ${names(nearest)}`;
  const element = make("li", { class: "card" }, make("div", { class: "stage" }, image));
  if (score !== undefined) {
    const number = make("span", { class: "score" }, shownScore(score));
    number.prepend(make("span", { class: "unseen" }, "score "));
    element.append(make("div", { class: "measure" }, bar(score), number));
  }
  element.append(
    make("div", { class: "near" }, make("span", {}, "Near"), nearestList(nearest)),
    download(png, fileName(q || "new emoji", `${n + 1}`), what),
  );
  return element;
}
