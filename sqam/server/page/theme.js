// Light or dark. Not a module, so that what was chosen holds before the page is first painted.
"use strict";

(() => {
  const KEY = "sqam-theme";
  const root = document.documentElement;
  const system = matchMedia("(prefers-color-scheme: dark)");

  const dark = () => (root.dataset.theme ?? (system.matches ? "dark" : "light")) === "dark";

  try {
    const chosen = localStorage.getItem(KEY);
    if (chosen === "light" || chosen === "dark") root.dataset.theme = chosen;
  } catch {
    // Storage may be forbidden; the system's choice holds then.
  }

  addEventListener("DOMContentLoaded", () => {
    const button = document.getElementById("theme");
    const show = () => button.setAttribute("aria-pressed", String(dark()));
    button.addEventListener("click", () => {
      root.dataset.theme = dark() ? "light" : "dark";
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
