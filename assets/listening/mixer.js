"use strict";

/*
 * All sounds of a trial run at once from one clock, each behind a gain of its own; one of them is open. A switch closes one gain and
 * opens another over the same 10 ms, linearly, so that neither a gap nor a click nor a shift in time tells which sound was left.
 */
class Mixer {
  static FADE_SEC = 0.01;
  /* So far ahead of the clock is a change asked for: a few blocks of 128 samples, which no listener notices. */
  static AHEAD_SEC = 0.006;

  constructor(context) {
    this.context = context;
    this.level = context.createGain();
    this.level.connect(context.destination);
    this.sounds = [];
    this.clear();
  }

  /* Of everything that is played, in dB; at most 0. */
  setLevel(db) {
    this.level.gain.value = 10 ** (Math.min(db, 0) / 20);
  }

  clear() {
    this.pause();
    this.sounds = [];
    this.heard = [];
    this.current = 0;
    this.offset = 0;
    this.fadeEnd = 0;
    this.nSwitches = 0;
  }

  /* sounds: [{buffer: mono AudioBuffer, gain_db}]; the shorter ones end in silence, so that all loops are of one length. */
  load(sounds) {
    this.clear();
    const length = Math.max(...sounds.map((sound) => sound.buffer.length));
    this.sounds = sounds.map((sound) => ({
      buffer: this.rounded(sound.buffer, length),
      gain: 10 ** (sound.gain_db / 20),
      durationSec: sound.buffer.duration,
    }));
    this.heard = sounds.map(() => 0);
    this.durationSec = length / this.context.sampleRate;
  }

  /* The sound, faded over 10 ms where it begins and ends: else the seam of the loop would click, and differently in each of them. */
  rounded(buffer, length) {
    const out = this.context.createBuffer(1, length, this.context.sampleRate);
    const samples = out.getChannelData(0);
    samples.set(buffer.getChannelData(0));
    const nFade = Math.min(Math.round(Mixer.FADE_SEC * this.context.sampleRate), buffer.length >> 1);
    for (let i = 0; i < nFade; i++) {
      const gain = (i + 0.5) / nFade;
      samples[i] *= gain;
      samples[buffer.length - 1 - i] *= gain;
    }
    return out;
  }

  get isPlaying() {
    return Boolean(this.sources);
  }

  /* Where in the loop, in seconds: the same for every sound. */
  get positionSec() {
    if (!this.isPlaying) return this.offset;
    const since = Math.max(0, this.context.currentTime - this.startedAt);
    return (this.offset + since) % this.durationSec;
  }

  /* A whole sample from which on a change can be made. */
  soon() {
    const rate = this.context.sampleRate;
    return Math.ceil((this.context.currentTime + Mixer.AHEAD_SEC) * rate) / rate;
  }

  /* Plays a sound from where the last one was; switches when another is sounding. */
  listen(index) {
    if (!this.isPlaying) {
      this.current = index;
      this.start();
    } else if (index !== this.current) {
      this.account();
      this.crossfade(index);
    }
  }

  start() {
    const at = this.soon();
    this.startedAt = at;
    this.accountedAt = at;
    this.master = this.context.createGain();
    this.master.connect(this.level);
    this.master.gain.setValueAtTime(0, at);
    this.master.gain.linearRampToValueAtTime(1, at + Mixer.FADE_SEC);
    this.fadeEnd = at + Mixer.FADE_SEC;
    this.sources = this.sounds.map((sound, index) => {
      const gate = this.context.createGain();
      gate.gain.setValueAtTime(index === this.current ? sound.gain : 0, 0);
      gate.connect(this.master);
      const source = this.context.createBufferSource();
      source.buffer = sound.buffer;
      source.loop = true;
      source.connect(gate);
      source.start(at, this.offset);
      return { source, gate };
    });
  }

  /* A switch during another one begins where that ends, at most 10 ms later. */
  crossfade(index) {
    const at = Math.max(this.soon(), this.fadeEnd);
    const end = at + Mixer.FADE_SEC;
    const ramp = (gate, from, to) => {
      gate.gain.setValueAtTime(from, at);
      gate.gain.linearRampToValueAtTime(to, end);
    };
    ramp(this.sources[this.current].gate, this.sounds[this.current].gain, 0);
    ramp(this.sources[index].gate, 0, this.sounds[index].gain);
    this.fadeEnd = end;
    this.current = index;
    this.nSwitches += 1;
  }

  pause() {
    if (!this.isPlaying) return;
    this.account();
    const at = Math.max(this.soon(), this.fadeEnd);
    const end = at + Mixer.FADE_SEC;
    this.master.gain.setValueAtTime(1, at);
    this.master.gain.linearRampToValueAtTime(0, end);
    this.offset = (this.offset + Math.max(0, end - this.startedAt)) % this.durationSec;
    for (const { source } of this.sources) source.stop(end);
    this.sources = undefined;
  }

  /* From the beginning, sounding or not. */
  rewind() {
    const wasPlaying = this.isPlaying;
    this.pause();
    this.offset = 0;
    if (wasPlaying) this.start();
  }

  /* Credits the open sound with the time since it was last asked. */
  account() {
    if (!this.isPlaying) return;
    const now = this.context.currentTime;
    this.heard[this.current] += Math.max(0, now - this.accountedAt);
    this.accountedAt = Math.max(this.accountedAt, now);
  }
}
