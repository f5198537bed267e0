// Which part of the page is open, in the address after the #: a reload and the back button keep it.

const VIEWS = ["friend", "sharing", "add", "groups", "group", "settings", "invite"] as const;
export type View = (typeof VIEWS)[number] | "list";

interface At {
  view: View;
  id: string;
}

class Routes {
  at = $state.raw<At>(read());

  constructor() {
    addEventListener("hashchange", () => (this.at = read()));
  }

  go(view: View, id = ""): void {
    location.hash = view === "list" ? "#/" : `#/${view}${id && `/${encodeURIComponent(id)}`}`;
  }
}

function read(): At {
  const [view = "", id = ""] = location.hash.slice(2).split("/");
  return (VIEWS as readonly string[]).includes(view) ? { view: view as View, id: decodeURIComponent(id) } : { view: "list", id: "" };
}

export const routes = new Routes();
