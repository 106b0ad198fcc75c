// The page asks itself anew every second and takes over what changed, but never what somebody is just using.
const PARTS = "[data-live]";

async function refresh() {
  let fresh;
  try {
    const answer = await fetch(location.href);
    fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  } catch {
    return; // the sandbox is away; the next second asks again
  }
  const shown = [...document.querySelectorAll(PARTS)];
  const now = [...fresh.querySelectorAll(PARTS)];
  if (shown.map((part) => part.id).join() !== now.map((part) => part.id).join()) {
    document.querySelector(".layout").replaceWith(document.adoptNode(fresh.querySelector(".layout")));
    return;
  }
  shown.forEach((part, place) => {
    if (part.innerHTML !== now[place].innerHTML && !part.contains(document.activeElement)) {
      part.replaceChildren(...document.adoptNode(now[place]).childNodes);
    }
  });
}

async function ask(method, path, body) {
  const problem = document.querySelector(".problem");
  const answer = await fetch(path, {method, body: JSON.stringify(body)});
  problem.textContent = answer.ok ? "" : (await answer.json()).error.message;
  document.activeElement?.blur();
  await refresh();
}

function person() {
  return `/people/${encodeURIComponent(document.querySelector("main").dataset.phone)}`;
}

function behaviours() {
  const selects = document.querySelectorAll("select[data-channel]");
  return Object.fromEntries([...selects].map((select) => [select.dataset.channel, select.value]));
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("button[data-do]");
  if (!button) return;
  const {channel, option} = button.dataset;
  const acts = {
    answer: () => ask("POST", `${person()}/answer`, {channel, option}),
    share: () => ask("POST", `${person()}/share-contact`, {channel}),
    behave: () => ask("PUT", person(), {...behaviours(), [channel]: button.dataset.to}),
    empty: () => ask("DELETE", `${person()}/inbox`, {}),
  };
  acts[button.dataset.do]();
});

document.addEventListener("submit", (event) => {
  const form = event.target.closest("form.write");
  if (!form) return;
  event.preventDefault();
  const text = form.elements.text.value;
  form.reset();
  ask("POST", `${person()}/write`, {channel: form.dataset.channel, text});
});

document.addEventListener("change", (event) => {
  if (event.target.matches("select[data-channel]")) ask("PUT", person(), behaviours());
});

setInterval(refresh, 1000);
