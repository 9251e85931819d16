// Something between two emojis, and beyond: sliders over the blend and over its 16 numbers.

import { announce } from "./announce.js";
import { call } from "./api.js";
import { chooser } from "./chooser.js";
import { byId, make } from "./dom.js";
import { fileName, fillNearest, names } from "./drawing.js";
import { emojis, setGlyph } from "./emojis.js";
import { conveyor, latest } from "./latest.js";
import { notice } from "./notice.js";

const DIMENSIONS = 16;
const FARTHEST = 8; // of a number, and of what may be added to a blend
const STEPS = 8; // of the morph
const FIRST = ["🐸", "😎", 57];
const PLAYING = 160; // milliseconds a frame

const within = (value) => Math.min(Math.max(value, -FARTHEST), FARTHEST);
const rounded = (value) => Math.round(value * 10) / 10;
const shownNumber = (value) => rounded(value).toFixed(1).replace("-", "−");

export function blend(changed) {
  const image = byId("blend-picture");
  const link = byId("blend-download");
  const strip = byId("blend-strip");
  const play = byId("blend-play");
  const share = byId("blend-share");
  const drawing = conveyor(notice(byId("blend-notice")));
  const morphing = latest(notice(byId("blend-morph-notice")));
  const choosers = ["blend-a", "blend-b"].map((id) => chooser(byId(id), () => paired({})));
  let offsets = new Array(DIMENSIONS).fill(0);
  let frames = [];
  let ends = null; // the codes of the two emojis
  let playing = 0;

  const sliders = Array.from({ length: DIMENSIONS }, (_, n) => {
    const id = `blend-number-${n}`;
    const input = make("input", { type: "range", id, min: -FARTHEST, max: FARTHEST, step: 0.1 });
    const value = make("output", { for: id });
    const label = make(
      "label",
      { for: id },
      make("span", { class: "unseen" }, "Number "),
      `${n + 1}`,
    );
    byId("blend-numbers").append(make("div", { class: "number" }, label, input, value));
    input.addEventListener("input", () => {
      offsets[n] = rounded(within(Number(input.value) - base()[n]));
      moved(false);
    });
    input.addEventListener("change", () => moved(true));
    return { input, value };
  });

  share.addEventListener("input", () => moved(false));
  share.addEventListener("change", () => moved(true));
  play.addEventListener("click", () => (playing ? stop() : start()));
  byId("blend-swap").addEventListener("click", () => {
    const [one, other] = choosers.map(({ chosen }) => chosen());
    choosers[0].set(other);
    choosers[1].set(one);
    share.value = 100 - share.value;
    paired({ keep: true });
  });
  byId("blend-surprise").addEventListener("click", async () => {
    const { list } = await emojis();
    const some = list.filter(({ group }) => group !== "flags" && group !== "symbols");
    for (const one of choosers) one.set(some[Math.floor(Math.random() * some.length)]);
    share.value = 50;
    paired({});
  });
  byId("blend-reset").addEventListener("click", () => {
    offsets.fill(0);
    moved(true);
  });
  byId("blend-vary").addEventListener("click", () => {
    // About as far as near emojis are from each other.
    offsets = offsets.map((offset) => rounded(within(offset + (Math.random() - 0.5) * 3)));
    moved(true);
  });

  const weight = () => Number(share.value) / 100;
  const base = () =>
    ends ? ends[0].map((value, n) => value * (1 - weight()) + ends[1][n] * weight()) : [];

  // Other emojis were chosen.
  function paired({ keep = false }) {
    stop();
    if (!keep) offsets.fill(0);
    ends = null;
    frames = [];
    const [one, other] = choosers.map(({ chosen }) => chosen());
    setGlyph(byId("blend-glyph-a"), one.emoji);
    setGlyph(byId("blend-glyph-b"), other.emoji);
    strip.setAttribute("aria-busy", "true");
    moved(true);
    morphing.run(
      ({ signal, waiting }) =>
        call("v1/morph", {
          body: { from: one.emoji, to: other.emoji, steps: STEPS },
          signal,
          waiting,
        }),
      (answer) => {
        frames = answer.frames;
        ends = [frames[0].code, frames.at(-1).code];
        showStrip(one, other);
        showNumbers();
      },
    );
  }

  // A slider was moved; finished tells that it was let go.
  function moved(finished) {
    stop();
    changed();
    showNumbers();
    const [one, other] = choosers.map(({ chosen }) => chosen());
    const t = weight();
    const body = {
      blend: [
        { emoji: one.emoji, weight: 1 - t },
        { emoji: other.emoji, weight: t },
      ],
      finish: finished,
    };
    if (offsets.some(Boolean)) body.offsets = offsets;
    drawing.run(
      ({ waiting }) => call("v1/draw", { body, waiting }),
      ({ png, nearest }) => {
        const what = `${one.name} and ${other.name}`;
        image.src = png;
        image.hidden = false;
        image.alt = `Drawing between ${what}`;
        byId("blend-draft").hidden = finished;
        fillNearest(byId("blend-nearest"), nearest);
        link.href = png;
        link.hidden = false;
        link.download = fileName(one.name, "and", other.name);
        if (finished) announce(`Drawn. Nearest: ${names(nearest)}.`);
      },
    );
  }

  function showNumbers() {
    const t = Number(share.value);
    const [one, other] = choosers.map(({ chosen }) => chosen());
    share.setAttribute("aria-valuetext", `${100 - t} % ${one.name}, ${t} % ${other.name}`);
    byId("blend-percent-a").textContent = `${100 - t} %`;
    byId("blend-percent-b").textContent = `${t} %`;
    const start = base();
    sliders.forEach(({ input, value }, n) => {
      input.disabled = !ends;
      if (!ends) return;
      const number = within(start[n] + offsets[n]);
      input.value = number;
      value.textContent = shownNumber(number);
      input.parentElement.classList.toggle("changed", offsets[n] !== 0);
    });
    byId("blend-reset").disabled = !offsets.some(Boolean);
    showPlace();
  }

  function showStrip(one, other) {
    strip.removeAttribute("aria-busy");
    strip.replaceChildren(
      ...frames.map(({ png }, n) => {
        const t = Math.round((100 * n) / (frames.length - 1));
        const picture = make("img", { src: png, width: 72, height: 72, alt: "" });
        const button = make("button", { type: "button", class: "frame" }, picture);
        button.setAttribute("aria-label", `${100 - t} % ${one.name}, ${t} % ${other.name}`);
        button.addEventListener("click", () => {
          share.value = t;
          moved(true);
        });
        return make("li", {}, button);
      }),
    );
  }

  // Mark the frame that the slider is nearest to.
  function showPlace() {
    const at = Math.round(weight() * (frames.length - 1));
    [...strip.querySelectorAll("button")].forEach((button, n) => {
      if (n === at) button.setAttribute("aria-current", "true");
      else button.removeAttribute("aria-current");
    });
  }

  function start() {
    if (!frames.length) return;
    let at = 0;
    const there = [...frames, ...frames.slice(1, -1).reverse()];
    play.setAttribute("aria-pressed", "true");
    playing = setInterval(() => {
      image.src = there[at % there.length].png;
      at += 1;
    }, PLAYING);
  }

  function stop() {
    if (!playing) return;
    clearInterval(playing);
    playing = 0;
    play.setAttribute("aria-pressed", "false");
    image.src = link.href;
  }

  async function open(parameters) {
    const number = (key) => Number.parseInt(parameters.get(key), 10);
    const [a, b, t] = FIRST;
    const asked = [parameters.get("a") || a, parameters.get("b") || b];
    share.value = number("t") >= 0 ? Math.min(number("t"), 100) : t;
    const numbers = (parameters.get("d") ?? "").split(",").map(Number);
    const valid = numbers.length === DIMENSIONS && numbers.every(Number.isFinite);
    offsets = valid ? numbers.map((value) => rounded(within(value))) : offsets.fill(0);
    morphing.run(
      () => emojis(),
      ({ list, places }) => {
        choosers.forEach(({ set }, n) =>
          set(list[places.get(asked[n])] ?? list[places.get(FIRST[n])]),
        );
        paired({ keep: true });
      },
    );
  }

  return {
    id: "blend",
    open,
    close: stop,
    link: () => ({
      a: choosers[0].chosen().emoji,
      b: choosers[1].chosen().emoji,
      t: share.value,
      d: offsets.some(Boolean) ? offsets.join(",") : "",
    }),
  };
}
