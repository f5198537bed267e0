// Two notes for a new order. Browsers let a page make sounds only after somebody has touched it.

class Sound {
  on = $state(false);
  #context: AudioContext | null = null;

  async toggle(): Promise<void> {
    this.on = !this.on;
    if (!this.on) return;
    this.#context ??= new AudioContext();
    await this.#context.resume();
    this.ring();
  }

  ring(): void {
    const context = this.#context;
    if (!this.on || !context) return;
    for (const [after_s, hertz] of [[0, 880], [0.18, 1175], [0.5, 880], [0.68, 1175]] as const) {
      const tone = context.createOscillator();
      const gain = context.createGain();
      const start = context.currentTime + after_s;
      tone.frequency.value = hertz;
      gain.gain.setValueAtTime(0.0001, start);
      gain.gain.exponentialRampToValueAtTime(0.4, start + 0.02);
      gain.gain.exponentialRampToValueAtTime(0.0001, start + 0.3);
      tone.connect(gain).connect(context.destination);
      tone.start(start);
      tone.stop(start + 0.32);
    }
  }
}

export const sound = new Sound();
