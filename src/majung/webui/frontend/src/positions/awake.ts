// The screen stays on while the rider is on duty: a locked phone sends no positions and rings for no offer.

export function stayAwake(): () => void {
  let lock: WakeLockSentinel | null = null;
  let over = false;
  const hold = () => {
    if (over || document.hidden || !("wakeLock" in navigator)) return;
    // Refused on a nearly empty battery: then the phone decides, as it should.
    void navigator.wakeLock.request("screen").then(
      (made) => {
        lock = made;
        if (over) void made.release();
      },
      () => undefined,
    );
  };
  hold();
  document.addEventListener("visibilitychange", hold); // browsers let go when the page is hidden
  return () => {
    over = true;
    document.removeEventListener("visibilitychange", hold);
    void lock?.release();
  };
}
