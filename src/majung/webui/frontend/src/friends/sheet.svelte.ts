// How far the sheet is up, on a phone.

export const SIZES = ["peek", "half", "full"] as const;
export type Size = (typeof SIZES)[number];

const PHONE = matchMedia("(max-width: 860px)");

class SheetState {
  size = $state<Size>("half");
  phone = $state(PHONE.matches);

  constructor() {
    PHONE.addEventListener("change", () => (this.phone = PHONE.matches));
  }

  /** In pixels; as in the styles of Sheet.svelte. */
  height(size: Size): number {
    if (!this.phone) return 0;
    return { peek: 112, half: innerHeight * 0.47, full: innerHeight - 84 }[size];
  }

  toggle(): void {
    this.size = this.size === "peek" ? "half" : this.size === "half" ? "full" : "peek";
  }
}

export const sheet = new SheetState();
