// Light or dark. Not a module, so that what was chosen holds before the page is first painted.
"use strict";

(() => {
  const KEY = "sqam-theme";
  const root = document.documentElement;
  const system = matchMedia("(prefers-color-scheme: dark)");

  // What phones paint around the page.
  const frames = document.querySelectorAll('meta[name="theme-color"]');
  const [light, night] = [...frames].map(({ content }) => content);
  const colours = { light, dark: night };

  const dark = () => (root.dataset.theme ?? (system.matches ? "dark" : "light")) === "dark";

  function choose(theme) {
    root.dataset.theme = theme;
    for (const frame of frames) frame.content = colours[theme];
  }

  try {
    const chosen = localStorage.getItem(KEY);
    if (chosen === "light" || chosen === "dark") choose(chosen);
  } catch {
    // Storage may be forbidden; the system's choice holds then.
  }

  addEventListener("DOMContentLoaded", () => {
    const button = document.getElementById("theme");
    const show = () => button.setAttribute("aria-pressed", String(dark()));
    button.addEventListener("click", () => {
      choose(dark() ? "light" : "dark");
      try {
        localStorage.setItem(KEY, root.dataset.theme);
      } catch {
        // It holds until the page is closed.
      }
      show();
    });
    system.addEventListener("change", show);
    show();
  });
})();
