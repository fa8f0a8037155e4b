"use strict";

/*
 * What is asked, what was answered, and what is kept of it between visits. Nothing here draws or plays.
 */

/* Of each question: how it is answered. The sentence and the scale with its bands stand in orders.js, as the program says them. */
const pick = (text) => (slots) => [0, 1].map((slot) => ({ key: String(slot + 1), answer: { slot }, text: text(slots[slot].label) }));
const better = pick((label) => `I prefer ${label}`);
const QUESTIONS = {
  which_is_x: { choices: pick((label) => `X is ${label}`) },
  which_is_better: { choices: better },
  which_is_better_if_any: { choices: (slots) => [...better(slots), { key: "3", answer: "neither", text: "No preference" }] },
  rate: { step: 1, page: 10, decimals: 0, band: (fromBest) => Math.max(0, Math.ceil(5 * fromBest) - 1) },
  grade: { step: 0.1, page: 1, decimals: 1, band: (fromBest) => Math.round(4 * fromBest), needsBest: true },
};

/* FNV-1a, 64 bits. It hides which slots hold the same sound from a glance at the orders, not from one who computes. */
function token(text) {
  let hash = 0xcbf29ce484222325n;
  for (const byte of new TextEncoder().encode(text)) {
    hash = BigInt.asUintN(64, (hash ^ BigInt(byte)) * 0x100000001b3n);
  }
  return hash.toString(16).padStart(16, "0");
}

class Session {
  constructor(test) {
    this.test = test;
    this.question = QUESTIONS[test.question];
    this.key = `listening/${test.plan}`;
    this.state = this.read();
  }

  /* Storage may be closed to a page that was opened from disk; then a reload begins again, and the page says so. */
  read() {
    try {
      const state = JSON.parse(localStorage.getItem(this.key));
      this.isKept = true;
      return state && state.plan === this.test.plan ? state : undefined;
    } catch {
      this.isKept = false;
      return undefined;
    }
  }

  write() {
    try {
      localStorage.setItem(this.key, JSON.stringify(this.state));
    } catch {
      this.isKept = false;
    }
  }

  forget() {
    try {
      localStorage.removeItem(this.key);
    } catch {
      this.isKept = false;
    }
    this.state = undefined;
  }

  begin(listener, seat) {
    this.state = {
      format: 1,
      plan: this.test.plan,
      seat,
      listener,
      level_db: -6,
      started: new Date().toISOString(),
      user_agent: navigator.userAgent,
      answers: [],
    };
    this.write();
  }

  get trials() {
    return this.test.seats.find((seat) => seat.name === this.state.seat).trials;
  }

  /* Trials come in their order, so the number of answers says which one is next. */
  get order() {
    return this.state.answers.length;
  }

  get trial() {
    return this.trials[this.order];
  }

  get nScored() {
    return this.trials.filter((trial) => !trial.training).length;
  }

  get nScoredDone() {
    return this.trials.slice(0, this.order).filter((trial) => !trial.training).length;
  }

  get isBreakDue() {
    const { break_every: every } = this.test;
    return every > 0 && this.nScoredDone > 0 && this.nScoredDone < this.nScored && this.nScoredDone % every === 0;
  }

  soundOf(order, slot) {
    const wanted = this.trials[order].slots[slot].token;
    const id = Object.keys(this.test.sounds).find((id) => token(`${this.state.seat}|${order}|${slot}|${id}`) === wanted);
    if (!id) throw new Error(`trial ${order + 1} names a sound that this folder does not have; ask for the folder again`);
    return id;
  }

  /* The slot that a training trial shows afterwards. */
  revealedSlot(order) {
    const { reveal, slots } = this.trials[order];
    const found = reveal && slots.findIndex((_, slot) => token(`${this.state.seat}|${order}|reveal|${slot}`) === reveal);
    return found >= 0 ? found : undefined;
  }

  /* Seconds a slot has still to be heard before an answer counts; shorter sounds have to be heard whole. */
  missingSec(slot, heardSec, durationSec) {
    return Math.max(0, Math.min(this.test.must_hear_sec, durationSec) - heardSec[slot]);
  }

  take(answer) {
    const order = this.order;
    this.state.answers.push({ number: order + 1, ...answer });
    if (this.order === this.trials.length) this.state.finished = new Date().toISOString();
    delete this.state.draft;
    this.write();
    return order;
  }

  get fileName() {
    const plain = this.state.listener.normalize("NFKD").replace(/[^\p{L}\p{N}]+/gu, "-").replace(/^-+|-+$/g, "");
    return `answers-${plain || this.state.seat}.json`;
  }

  /* The file that goes back. */
  get file() {
    const { draft, saved, ...kept } = this.state;
    return JSON.stringify(kept, null, 1);
  }
}
