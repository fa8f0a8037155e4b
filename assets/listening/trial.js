"use strict";

/*
 * One trial: its sounds, the question, the keys.
 */

/* So often a trial is asked again because its sound broke off; then the answer is taken, and says so. */
const N_REPEATS = 2;

async function trial({ rested, counts } = {}) {
  const order = session.order;
  if (!session.trial) return finish();
  if (session.isBreakDue && !rested) return rest();
  if (isFirstScored(order) && !counts && !rested) return nowItCounts();
  const sounds = await soundsOf(order);
  forgetBut([order, order + 1]);
  mixer.load(sounds);
  if (session.trials[order + 1]) soundsOf(order + 1).catch(() => {});
  new Trial(order).show();
}

const isFirstScored = (order) => order > 0 && !session.trials[order].training && session.trials[order - 1].training;

function nowItCounts() {
  const go = () => trial({ counts: true }).catch(fail);
  show(h("section", { class: "card narrow" },
    h("h2", {}, "From here on it counts"),
    h("p", {}, `The training is over: ${plural(session.nScored, "trial")} follow, and their answers are not shown.`),
    h("button", { class: "primary", id: "counts", "data-focus": true, onclick: go }, "Go on")), {
    spoken: "The training is over. From here on it counts. Enter goes on.",
    onKey: (key) => key === "Enter" && (go(), true),
  });
}

class Trial {
  constructor(order) {
    this.order = order;
    this.slots = session.trial.slots.map((slot) => slot.label);
    this.isTraining = session.trial.training;
    this.question = session.question;
    this.scale = session.test.scale;
    this.choices = this.question.choices?.(session.trial.slots);
    this.shown = new Date().toISOString();
    this.nUnderrunsBefore = nUnderruns();
    this.nRepeats = 0;
    this.choice = undefined;
    this.ratings = this.slots.map(() => undefined);
    const draft = session.state.draft;
    if (draft?.order === order) {
      mixer.heard = draft.heard_sec;
      this.choice = this.choices?.find((choice) => choice.key === draft.choice);
      this.ratings = this.slots.map((_, slot) => draft.ratings[slot] ?? undefined);
      this.shown = draft.shown;
    }
  }

  isRated(slot) {
    return Boolean(this.scale) && slot > 0;
  }

  show() {
    this.tiles = this.slots.map((label, slot) => this.tile(label, slot));
    this.message = h("p", { class: "message" });
    this.playButton = h("button", { class: "round", id: "play", "aria-label": "Play", onclick: () => this.toggle() });
    this.position = h("span");
    const transport = h("div", { class: "transport" },
      h("button", { class: "round", id: "rewind", "aria-label": "From the beginning", onclick: () => this.rewind() }, icon("rewind")),
      this.playButton,
      h("div", { class: "position", "aria-hidden": "true" }, this.position));
    this.confirmButton = h("button", { class: "primary", id: "confirm", onclick: () => this.confirm() }, "Confirm");
    const spoken = `${this.isTraining ? "Training. " : `Trial ${session.nScoredDone + 1} of ${session.nScored}. `}${session.test.ask}`;
    show(h("section", { class: `card trial ${session.test.question}` },
      this.isTraining && h("p", { class: "training" }, "Training: this does not count."),
      h("h2", {}, session.test.ask),
      this.scale ? this.ratingUi(transport) : [h("div", { class: "tiles" }, this.tiles), transport, this.choicesUi()],
      this.message,
      h("div", { class: "end" }, this.confirmButton),
      this.hintsUi()), { onKey: (key) => this.key(key), onTick: () => this.tick(), spoken });
    this.refresh();
  }

  tile(label, slot) {
    this.bars ??= [];
    const bar = h("span", { class: "heard", "aria-hidden": "true" }, h("span"));
    this.bars[slot] = bar.firstElementChild;
    return h("button", { class: "tile", "data-slot": slot, "aria-pressed": "false", "aria-label": `Listen to ${label}`, onclick: () => this.listen(slot) },
      h("span", { class: "letter" }, label), bar);
  }

  choicesUi() {
    this.options = this.choices.map((choice) => h("button", {
      class: "choice", role: "radio", "aria-checked": "false", "data-choice": choice.key, onclick: () => this.choose(choice),
    }, h("kbd", {}, choice.key), ` ${choice.text}`));
    return h("div", { class: "choices", role: "radiogroup", "aria-label": session.test.ask }, this.options);
  }

  ratingUi(transport) {
    const { min, max, bands } = this.scale;
    this.sliders = [];
    this.outputs = [];
    const columns = this.slots.flatMap((label, slot) => {
      if (!this.isRated(slot)) return [];
      const slider = h("input", {
        type: "range", min, max, step: this.question.step, value: (min + max) / 2, "aria-label": `Rating of ${label}`, "data-rating": slot,
        onpointerdown: () => this.listen(slot), onfocus: () => this.listen(slot), oninput: () => this.rate(slot, Number(slider.value)),
      });
      this.sliders[slot] = slider;
      this.outputs[slot] = h("output", { "data-value": slot });
      return h("div", { class: "column", style: `--column: ${slot + 1}` }, this.tiles[slot], h("div", { class: "track" }, slider), this.outputs[slot]);
    });
    const names = h("div", { class: "bands", "aria-hidden": "true" }, bands.toReversed().map((band) => h("span", {}, band)));
    const open = this.tiles.filter((_, slot) => !this.isRated(slot));
    return [h("div", { class: "reference" }, open, transport), h("div", { class: "rating", style: `--n: ${columns.length}` }, names, columns)];
  }

  hintsUi() {
    const letters = this.slots.map((label) => label[0]);
    const hints = [keyHint(letters.length > 4 ? `${letters[0]} ${letters[1]} … ${letters.at(-1)}` : letters.join(" "), "listen"),
      keyHint("← →", "the one before, the next"), keyHint("Space", "play, pause"), keyHint("Home", "from the beginning")];
    if (this.scale) hints.push(keyHint("↑ ↓", "rate what sounds"), keyHint("Page ↑ ↓", "in large steps"));
    if (this.gradesByDigit) hints.push(keyHint("1 … 5", "grade what sounds"));
    hints.push(keyHint("Enter", "confirm"));
    return h("p", { class: "hints" }, hints);
  }

  /* ------------------------------------------------------------ what is done */

  listen(slot) {
    if (this.isOver || (mixer.isPlaying && mixer.current === slot)) return;
    mixer.listen(slot);
    this.refresh();
    say(this.ratings[slot] === undefined ? this.slots[slot] : `${this.slots[slot]}, ${this.spokenRating(slot)}`);
  }

  toggle() {
    if (this.isOver) return;
    if (mixer.isPlaying) mixer.pause();
    else mixer.listen(mixer.current);
    this.refresh();
  }

  rewind() {
    if (this.isOver) return;
    mixer.rewind();
    this.refresh();
  }

  choose(choice) {
    if (this.isOver) return;
    this.choice = choice;
    this.keep();
    this.refresh();
    say(`${choice.text}. Enter confirms.`);
  }

  rate(slot, value) {
    if (this.isOver || !this.isRated(slot)) return;
    const { min, max } = this.scale;
    this.ratings[slot] = Number(Math.max(min, Math.min(max, value)).toFixed(this.question.decimals));
    this.keep();
    this.refresh();
    say(this.spokenRating(slot));
  }

  /* By one step of the arrow keys; from the middle where nothing was said yet. */
  nudge(by) {
    const slot = mixer.current;
    if (!this.isRated(slot)) return say("The reference is not rated.");
    const rating = this.ratings[slot];
    this.rate(slot, rating === undefined ? (this.scale.min + this.scale.max) / 2 : rating + by);
  }

  shownRating(slot) {
    return this.ratings[slot].toFixed(this.question.decimals);
  }

  band(slot) {
    const { min, max, bands } = this.scale;
    return bands.at(-1 - this.question.band((max - this.ratings[slot]) / (max - min)));
  }

  spokenRating(slot) {
    return `${this.shownRating(slot)}, ${this.band(slot)}`;
  }

  get gradesByDigit() {
    return this.scale?.max <= 9;
  }

  /* In a sentence, what is still to be done before the answer counts. */
  missing() {
    mixer.account();
    for (const [slot, label] of this.slots.entries()) {
      const sec = session.missingSec(slot, mixer.heard, mixer.sounds[slot].durationSec);
      const name = label.length > 1 ? `the ${label.toLowerCase()}` : label;
      if (sec > 0) return `Listen to ${name} for ${mixer.heard[slot] > 0 ? "another " : ""}${sec.toFixed(1)} s first.`;
    }
    if (this.choices && !this.choice) {
      return `Choose first: ${this.choices.map((choice) => `${choice.key} for ${choice.text}`).join(", ")}.`;
    }
    const unrated = this.slots.findIndex((_, slot) => this.isRated(slot) && this.ratings[slot] === undefined);
    if (unrated >= 0) return `Rate ${this.slots[unrated]} first.`;
    if (this.question.needsBest && !this.ratings.includes(this.scale.max)) {
      return `One of these sounds is the reference itself: give that one ${this.scale.max.toFixed(1)}.`;
    }
    return undefined;
  }

  confirm() {
    if (this.isOver) return this.next();
    const missing = this.missing();
    if (missing) {
      this.message.textContent = missing;
      return say(missing);
    }
    const nDry = this.nUnderrunsBefore === null ? null : nUnderruns() - this.nUnderrunsBefore;
    mixer.pause();
    if (nDry > 0 && this.nRepeats < N_REPEATS) return this.again();
    session.take({
      answer: this.choice?.answer ?? { ratings: this.ratings.slice(1) },
      heard_sec: mixer.heard.map((sec) => Number(sec.toFixed(3))),
      n_switches: mixer.nSwitches,
      n_underruns: nDry,
      sample_rate_hz: context.sampleRate,
      shown: this.shown,
      answered: new Date().toISOString(),
    });
    drawProgress();
    if (this.isTraining) this.reveal();
    else this.next();
  }

  /* Nothing was said of the answer, so the same trial is as good as a new one. */
  again() {
    this.nRepeats += 1;
    this.nUnderrunsBefore = nUnderruns();
    this.choice = undefined;
    mixer.heard = mixer.heard.map(() => 0);
    this.keep();
    this.refresh();
    this.message.textContent = "The sound broke off. Please listen to all of it once more, and answer again.";
    say(this.message.textContent);
  }

  reveal() {
    const slot = session.revealedSlot(this.order);
    if (slot === undefined) return this.next();
    this.isOver = true;
    const text = this.choices
      ? `X was ${this.slots[slot]}: ${this.choice.answer.slot === slot ? "right" : "not what you said"}.`
      : `The reference was hidden behind ${this.slots[slot]}.`;
    this.message.textContent = text;
    this.message.classList.add("revealed");
    this.confirmButton.textContent = "Go on";
    this.refresh();
    say(`${text} Enter goes on.`);
  }

  next() {
    trial().catch(fail);
  }

  key(key) {
    const slot = this.slots.findIndex((label) => label[0] === key.toUpperCase());
    const { step, page } = this.question;
    const by = this.scale && { ArrowUp: step, ArrowDown: -step, PageUp: page, PageDown: -page }[key];
    const choice = this.choices?.find((choice) => choice.key === key);
    const digit = /^[0-9]$/.test(key) ? Number(key) : undefined;
    if (key === "Enter") this.confirm();
    else if (key === " ") this.toggle();
    else if (key === "Home") this.rewind();
    else if (key === "ArrowLeft" || key === "ArrowRight") this.step(key === "ArrowLeft" ? -1 : 1);
    else if (slot >= 0) this.listen(slot);
    else if (choice) this.choose(choice);
    else if (by) this.nudge(by);
    else if (digit >= this.scale?.min && this.gradesByDigit) this.rate(mixer.current, Math.min(digit, this.scale.max));
    else if (digit < this.slots.length && this.scale && !this.gradesByDigit) this.listen(digit);
    else return false;
    return true;
  }

  step(by) {
    const n = this.slots.length;
    this.listen((mixer.current + by + n) % n);
  }

  /* ------------------------------------------------------------ what is shown */

  keep() {
    session.state.draft = { order: this.order, shown: this.shown, heard_sec: mixer.heard, choice: this.choice?.key, ratings: this.ratings };
    session.write();
  }

  tick() {
    if (!mixer.isPlaying) return;
    mixer.account();
    this.position.style.transform = `scaleX(${mixer.positionSec / mixer.durationSec})`;
    this.refreshHeard();
  }

  refreshHeard() {
    for (const slot of this.slots.keys()) {
      const missing = session.missingSec(slot, mixer.heard, mixer.sounds[slot].durationSec);
      const needed = Math.min(session.test.must_hear_sec, mixer.sounds[slot].durationSec);
      this.bars[slot].style.transform = `scaleX(${needed > 0 ? 1 - missing / needed : 1})`;
      const isHeard = missing === 0;
      if (isHeard !== this.tiles[slot].hasAttribute("data-heard")) {
        this.tiles[slot].toggleAttribute("data-heard", isHeard);
        this.keep();
      }
    }
  }

  refresh() {
    this.message.textContent = this.isOver ? this.message.textContent : "";
    this.playButton.replaceChildren(icon(mixer.isPlaying ? "pause" : "play"));
    this.playButton.setAttribute("aria-label", mixer.isPlaying ? "Pause" : "Play");
    for (const [slot, tile] of this.tiles.entries()) {
      tile.setAttribute("aria-pressed", String(mixer.isPlaying && mixer.current === slot));
      tile.toggleAttribute("data-current", mixer.current === slot);
    }
    for (const option of this.options ?? []) option.setAttribute("aria-checked", String(option.dataset.choice === this.choice?.key));
    for (const [slot, slider] of (this.sliders ?? []).entries()) {
      if (!slider) continue;
      const rating = this.ratings[slot];
      slider.classList.toggle("unrated", rating === undefined);
      if (rating !== undefined) slider.value = rating;
      slider.setAttribute("aria-valuetext", rating === undefined ? "not rated" : this.spokenRating(slot));
      this.outputs[slot].replaceChildren(...(rating === undefined ? ["–"] : [h("b", {}, this.shownRating(slot)), h("small", {}, this.band(slot))]));
    }
    this.refreshHeard();
  }
}
