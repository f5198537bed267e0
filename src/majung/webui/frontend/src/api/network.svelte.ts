// Whether this device has a network at all, as far as the browser knows. A socket does not notice for minutes
// that the network under it has gone, so whoever holds one asks here.

class Network {
  online = $state(navigator.onLine);

  constructor() {
    for (const name of ["online", "offline"]) addEventListener(name, () => (this.online = navigator.onLine));
  }
}

export const network = new Network();

/** Calls `lost` and `back` as the network goes and comes; gives the way to stop that. */
export function onNetwork(lost: () => void, back: () => void): () => void {
  addEventListener("offline", lost);
  addEventListener("online", back);
  return () => {
    removeEventListener("offline", lost);
    removeEventListener("online", back);
  };
}
