// One soft note for a notice, when somebody asked for it. Browsers let a page sound only after it was touched.

const KEY = "majung.chime";

class Chime {
  on = $state(localStorage.getItem(KEY) === "on");
  #context: AudioContext | null = null;

  toggle(): void {
    this.on = !this.on;
    localStorage.setItem(KEY, this.on ? "on" : "off");
    this.ring();
  }

  ring(): void {
    if (!this.on) return;
    this.#context ??= new AudioContext();
    const context = this.#context;
    void context.resume().then(() => {
      const tone = context.createOscillator();
      const gain = context.createGain();
      const start = context.currentTime;
      tone.frequency.setValueAtTime(660, start);
      tone.frequency.setValueAtTime(990, start + 0.12);
      gain.gain.setValueAtTime(0.0001, start);
      gain.gain.exponentialRampToValueAtTime(0.2, start + 0.02);
      gain.gain.exponentialRampToValueAtTime(0.0001, start + 0.5);
      tone.connect(gain).connect(context.destination);
      tone.start(start);
      tone.stop(start + 0.52);
    });
  }
}

export const chime = new Chime();
