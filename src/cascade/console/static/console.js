"use strict";
// What the pages cannot do on the server: prove themselves, rest while nobody looks, leave alone what has not changed.
(() => {
  const csrf = document.querySelector('meta[name="csrf"]')?.content;
  const shown = new WeakMap();
  const pause = document.getElementById("pause");
  let isPaused = sessionStorage.getItem("paused") === "yes";

  document.addEventListener("htmx:configRequest", (event) => {
    if (csrf) event.detail.headers["X-CSRF-Token"] = csrf;
  });
  document.addEventListener("htmx:beforeRequest", (event) => {
    const isLive = event.target.hasAttribute("data-live");
    if (isLive && (document.hidden || isPaused || isInUse(event.target))) event.preventDefault();
  });
  document.addEventListener("htmx:beforeSwap", (event) => {
    const { target, xhr } = event.detail;
    if (xhr.status === 200 && shown.get(target) === xhr.response) event.detail.shouldSwap = false;
    shown.set(target, xhr.response);
  });

  // Somebody reads a menu or picks words there: it is not to be taken away.
  function isInUse(part) {
    const selection = getSelection();
    return part.querySelector("details[open]") || (!selection.isCollapsed && part.contains(selection.anchorNode));
  }

  function showPause() {
    pause.setAttribute("aria-pressed", String(isPaused));
    pause.textContent = isPaused ? pause.dataset.off : pause.dataset.on;
  }
  if (pause) {
    if (document.querySelector("[data-live]")) {
      showPause();
      pause.addEventListener("click", () => {
        isPaused = !isPaused;
        sessionStorage.setItem("paused", isPaused ? "yes" : "no");
        showPause();
      });
    } else {
      pause.hidden = true;
    }
  }

  document.addEventListener("submit", (event) => {
    const words = event.target.dataset.confirm;
    if (words && !confirm(words)) event.preventDefault();
    if (event.target.method !== "post" || event.defaultPrevented) return;
    if (event.target.isUnderWay) event.preventDefault(); // the same once more, by an impatient finger
    event.target.isUnderWay = true;
    setTimeout(() => { event.target.isUnderWay = false; }, 3000);
  });
  document.addEventListener("keydown", (event) => {
    const menu = document.querySelector("details.menu[open]");
    if (event.key === "Escape" && menu) {
      menu.open = false;
      menu.querySelector("summary").focus();
    }
    const isTyping = event.target.closest("input, select, textarea");
    const search = document.getElementById("q");
    if (event.key === "/" && !isTyping && search) {
      event.preventDefault();
      search.focus();
    }
  });
  document.addEventListener("click", (event) => {
    const menu = document.querySelector("details.menu[open]");
    if (menu && !menu.contains(event.target)) menu.open = false;
    const button = event.target.closest("button[data-copy]");
    if (button) navigator.clipboard.writeText(button.dataset.copy).then(() => { button.textContent = button.dataset.done; });
  });

  const present = document.querySelector(".side [aria-current]");
  present?.closest("nav").scrollTo({ left: present.offsetLeft - 16 }); // where the pages are a strip, this one is seen

  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  if (zone && !document.cookie.includes("cascade_zone=")) {
    const isSecure = location.protocol === "https:" ? "; secure" : "";
    document.cookie = `cascade_zone=${zone}; path=/console; max-age=31536000; samesite=lax${isSecure}`;
  }
})();
