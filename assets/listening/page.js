"use strict";

/*
 * What is seen, heard and pressed.
 */

const session = new Session(window.LISTENING);
const main = document.getElementById("main");

/* An element with attributes, listeners (on…) and children. */
function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children.flat().filter((child) => child !== undefined && child !== false));
  return element;
}

/* Drawn, since not every font has these signs. */
const ICONS = { play: "M7 4.5v15l12-7.5z", pause: "M6.5 4.5h4v15h-4zM13.5 4.5h4v15h-4z", rewind: "M5 4.5h3v15H5zM19 4.5v15L9 12z" };
function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  path.setAttribute("d", ICONS[name]);
  svg.append(path);
  return svg;
}

const keyHint = (key, what) => h("span", { class: "hint" }, h("kbd", {}, key), ` ${what}`);
const plural = (n, word) => `${n} ${word}${n === 1 ? "" : "s"}`;

/* Read out by a screen reader; said again when it is the same as before. */
function say(text) {
  const place = document.getElementById("say");
  place.textContent = "";
  requestAnimationFrame(() => (place.textContent = text));
}

/* ---------------------------------------------------------------- sound */

const decoded = new Map();
const arriving = new Map();
let context;
let mixer;

/* A browser lets a page sound only from a key or click on, so this is called from one. */
function openSound() {
  if (context) return context.resume();
  const rate = session.test.rate_hz;
  try {
    context = new AudioContext({ sampleRate: rate, latencyHint: "interactive" });
  } catch {
    context = new AudioContext();
  }
  mixer = new Mixer(context);
  return context.resume();
}

/* A file that is opened from disk may not read its neighbors, but it may run them: each sound is a script that calls this. */
window.sound = (id, base64) => {
  const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
  arriving.get(id)?.(bytes.buffer);
};

function soundOf(id) {
  if (!decoded.has(id)) {
    decoded.set(id, new Promise((resolve, reject) => {
      arriving.set(id, (bytes) => context.decodeAudioData(bytes).then(resolve, reject));
      const script = h("script", { src: `stimuli/${id}.js` });
      script.onerror = () => reject(new Error(`stimuli/${id}.js is missing; ask for the folder again`));
      script.onload = () => script.remove();
      document.head.append(script);
    }));
  }
  return decoded.get(id);
}

async function soundsOf(order) {
  const ids = session.trials[order].slots.map((_, slot) => session.soundOf(order, slot));
  const buffers = await Promise.all(ids.map(soundOf));
  return ids.map((id, index) => ({ buffer: buffers[index], gain_db: session.test.sounds[id].gain_db }));
}

/* Only this trial's and the next one's sounds stay in memory. */
function forgetBut(orders) {
  const wanted = new Set(orders.flatMap((order) => session.trials[order]?.slots.map((_, slot) => session.soundOf(order, slot)) ?? []));
  for (const id of decoded.keys()) if (!wanted.has(id)) decoded.delete(id);
}

/* Times at which the output ran dry, where the browser counts them. */
const nUnderruns = () => context.playbackStats?.underrunEvents ?? null;

/* ---------------------------------------------------------------- pages */

let keys = () => false;
let tick = () => {};

/* Shows a page; the first heading gets the focus unless something asks for it. */
function show(content, { onKey = () => false, onTick = () => {}, spoken } = {}) {
  keys = onKey;
  tick = onTick;
  main.replaceChildren(...[content].flat());
  drawProgress();
  const focused = main.querySelector("[data-focus]") ?? main;
  focused.focus({ preventScroll: true });
  window.scrollTo(0, 0);
  if (spoken) say(spoken);
}

function drawProgress() {
  const bar = document.getElementById("progress");
  const text = document.getElementById("progress-text");
  const isRunning = Boolean(session.state);
  bar.hidden = !isRunning;
  text.textContent = "";
  if (!isRunning) return;
  const { nScoredDone: done, nScored: total, trial } = session;
  bar.setAttribute("aria-valuemax", total);
  bar.setAttribute("aria-valuenow", done);
  bar.firstElementChild.style.inlineSize = `${(100 * done) / Math.max(total, 1)}%`;
  if (!trial) text.textContent = "Done";
  else if (trial.training) text.textContent = "Training";
  else text.textContent = `Trial ${done + 1} of ${total}`;
}

function fail(error) {
  mixer?.pause();
  const content = h("section", { class: "card narrow", role: "alert" },
    h("h2", {}, "This does not work"),
    h("p", {}, error.message ?? String(error)),
    h("p", { class: "muted" }, "Your answers so far are kept. Loading the page again goes on from here."));
  show(content, { spoken: `This does not work: ${error.message ?? error}` });
}

function welcome() {
  const { test, state } = session;
  const isOpen = state && !state.saved;
  const name = h("input", { id: "name", autocomplete: "off", spellcheck: "false", required: true, maxlength: 60, "data-focus": !isOpen });
  const seats = test.seats.map((seat) => h("option", { value: seat.name }, seat.name));
  const seat = h("select", { id: "seat", required: true }, h("option", { value: "" }, "as you were told"), seats);
  const begin = h("form", {
    onsubmit: (event) => {
      event.preventDefault();
      if (state && !state.saved && state.answers.length && !confirm(`The answers of ${state.listener} are not saved yet. Begin anew and lose them?`)) return;
      session.begin(name.value.trim(), seat.value);
      openSound().then(level, fail);
    },
  },
    h("div", { class: "fields" },
      h("label", { for: "name" }, "Your name", name),
      h("label", { for: "seat" }, "Your seat", seat)),
    h("button", { class: isOpen ? "" : "primary", type: "submit" }, isOpen ? "Begin anew" : "Begin"));
  const goOn = isOpen && h("section", { class: "card narrow" },
    h("h2", {}, `Welcome back, ${state.listener}`),
    h("p", {}, session.trial ? `You have answered ${session.order} of ${plural(session.trials.length, "trial")}.` : "You have answered everything; the file is still to be saved."),
    h("button", { class: "primary", id: "resume", "data-focus": true, onclick: resume }, "Go on"));
  show([
    goOn,
    h("section", { class: "card narrow" },
      h("h2", {}, isOpen ? "Somebody else" : "Before you begin"),
      !isOpen && h("ul", {},
        h("li", {}, "Use headphones, in a quiet room."),
        h("li", {}, `You will hear ${plural(test.seats[0].trials.filter((t) => !t.training).length, "trial")}, and may rest whenever you like.`),
        h("li", {}, "Everything works from the keyboard, also with your eyes shut."),
        h("li", {}, "Nothing is sent anywhere: at the end you save one file and give it back.")),
      !session.isKept && h("p", { class: "warning" }, "This browser keeps nothing for this page: do not close or reload it before the end."),
      begin),
  ].filter(Boolean));
}

function resume() {
  openSound().then(() => {
    mixer.setLevel(session.state.level_db);
    return session.trial ? trial() : finish();
  }).catch(fail);
}

/* The level is set once, before anything is judged. */
async function level() {
  const { test, state } = session;
  mixer.setLevel(state.level_db);
  mixer.load([{ buffer: await soundOf("calibration"), gain_db: 0 }]);
  const heard = () => mixer.heard[0] > 0.5;
  const play = h("button", { id: "play", onclick: () => toggle() }, "Play");
  const shown = h("output", {}, `${state.level_db} dB`);
  const slider = h("input", {
    type: "range", id: "level", min: -40, max: 0, step: 1, value: state.level_db, "aria-label": "Level in dB",
    oninput: () => change(Number(slider.value)),
  });
  const go = h("button", { class: "primary", id: "level-done", onclick: () => done() }, "The level is right");
  const change = (db) => {
    state.level_db = Math.max(-40, Math.min(0, db));
    slider.value = state.level_db;
    shown.textContent = `${state.level_db} dB`;
    mixer.setLevel(state.level_db);
  };
  const toggle = () => {
    mixer.isPlaying ? mixer.pause() : mixer.listen(0);
    play.textContent = mixer.isPlaying ? "Pause" : "Play";
  };
  const done = () => {
    mixer.account();
    if (!heard()) return say("Play the noise first, with the space bar.");
    mixer.pause();
    session.write();
    trial().catch(fail);
  };
  show(h("section", { class: "card narrow" },
    h("h2", {}, "Set the level"),
    h("p", {}, "Play the noise, and make it as loud as somebody who speaks to you from a meter away: with your computer first, then with the slider. Leave it so until the end."),
    h("div", { class: "row" }, play, slider, shown),
    go,
    h("p", { class: "hints" }, keyHint("Space", "play, pause"), keyHint("↑ ↓", "louder, softer"), keyHint("Enter", "the level is right"))), {
    spoken: "Set the level. Space plays a noise, arrow up and down change its level, Enter goes on.",
    onKey: (key) => {
      if (key === " ") return toggle(), true;
      if (key === "ArrowUp" || key === "ArrowRight") return change(state.level_db + 1), true;
      if (key === "ArrowDown" || key === "ArrowLeft") return change(state.level_db - 1), true;
      if (key === "Enter") return done(), true;
      return false;
    },
  });
  say("Set the level. Space plays a noise, arrow up and down change its level, Enter goes on.");
}

function rest() {
  const { nScoredDone: done, nScored: total } = session;
  const go = () => trial({ rested: true }).catch(fail);
  show(h("section", { class: "card narrow" },
    h("h2", {}, "A break"),
    h("p", {}, `${done} of ${plural(total, "trial")} are done. Take your ears off it for a while; you can also close the page and come back.`),
    h("button", { class: "primary", id: "break-over", "data-focus": true, onclick: go }, "Go on")), {
    spoken: `A break. ${done} of ${total} done. Enter goes on.`,
    onKey: (key) => key === "Enter" && (go(), true),
  });
}

function finish() {
  mixer.pause();
  const save = () => {
    const url = URL.createObjectURL(new Blob([session.file], { type: "application/json" }));
    const link = h("a", { href: url, download: session.fileName });
    document.body.append(link);
    link.click();
    link.remove();
    setTimeout(() => URL.revokeObjectURL(url), 60_000);
    session.state.saved = true;
    session.write();
    after.hidden = false;
    say(`Saved as ${session.fileName}.`);
  };
  const after = h("div", { hidden: true },
    h("p", {}, "Saved among your downloads. Give this file to whoever gave you this test."),
    h("details", {}, h("summary", {}, "It is not there"),
      h("p", {}, `Copy all of this into a file named ${session.fileName}:`),
      h("textarea", { readonly: true, rows: 6, "aria-label": "The answers" }, session.file)));
  show(h("section", { class: "card narrow" },
    h("h2", {}, "Thank you"),
    h("p", {}, "That was all. One thing is left: save your answers."),
    h("button", { class: "primary", id: "save", "data-focus": true, onclick: save }, `Save ${session.fileName}`),
    after), {
    spoken: "That was all, thank you. Enter saves your answers.",
    onKey: (key) => key === "Enter" && (save(), true),
  });
}

/* Keys belong to the page, except where somebody types, or has walked to a button with Tab. */
let taken;
document.addEventListener("keydown", (event) => {
  taken = undefined;
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.matches("input:not([type=range]), select, textarea, summary")) return;
  if ((event.key === "Enter" || event.key === " ") && event.target.matches("button:focus-visible")) return;
  if (!keys(event.key)) return;
  taken = event.key;
  event.preventDefault();
});
document.addEventListener("keyup", (event) => {
  if (event.key === taken) event.preventDefault();
});
/* After a click, Enter and the space bar mean the page again and not the button. */
document.addEventListener("click", (event) => {
  if (event.detail > 0 && event.target.closest("button")) main.focus({ preventScroll: true });
});
setInterval(() => tick(), 50);

document.getElementById("title").textContent = session.test.title;
document.title = session.test.title;
welcome();
