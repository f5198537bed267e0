// Colours of the map, light and dark. The page's own colours are in styles/tokens.css.

export interface MapTheme {
  dark: boolean;
  water: string;
  land: string;
  landKorea: string;
  coast: string;
  province: string;
  district: string;
  neighbourhood: string;
  grid: string;
  label: string;
  labelStrong: string;
  halo: string;
  moving: string;
  still: string;
  silent: string;
  marker: string;
  selected: string;
  cluster: string;
  clusterText: string;
  cells: [string, string, string, string];
  fence: string;
  track: string;
  trackBad: string;
}

export const light: MapTheme = {
  dark: false,
  water: "#dbe5ee",
  land: "#eef0ee",
  landKorea: "#f6f6f3",
  coast: "#b9c6d2",
  province: "#a9b3be",
  district: "#c3cad2",
  neighbourhood: "#dadee3",
  grid: "#9aa7b5",
  label: "#76818f",
  labelStrong: "#4c5866",
  halo: "#f8f8f6",
  moving: "#2f55e0",
  still: "#74839a",
  silent: "#9ca5b1",
  marker: "#ffffff",
  selected: "#d9480f",
  cluster: "#2f55e0",
  clusterText: "#ffffff",
  cells: ["#fbe2a4", "#f9b24a", "#ee6f2a", "#bf2430"],
  fence: "#8a3ffc",
  track: "#d9480f",
  trackBad: "#b3261e",
};

export const dark: MapTheme = {
  dark: true,
  water: "#0a0e13",
  land: "#141920",
  landKorea: "#181e26",
  coast: "#2c3744",
  province: "#465465",
  district: "#364250",
  neighbourhood: "#2b3541",
  grid: "#4a5866",
  label: "#77869a",
  labelStrong: "#a7b4c4",
  halo: "#10151b",
  moving: "#7c9bff",
  still: "#77869b",
  silent: "#5b6675",
  marker: "#0e1319",
  selected: "#ff8a4c",
  cluster: "#4a6bec",
  clusterText: "#ffffff",
  cells: ["#5a4a1c", "#96661a", "#cf6422", "#f0503f"],
  fence: "#b694ff",
  track: "#ff8a4c",
  trackBad: "#ff7b72",
};

const query = matchMedia("(prefers-color-scheme: dark)");

export const currentTheme = (): MapTheme => (query.matches ? dark : light);

export function onThemeChange(listener: () => void): () => void {
  query.addEventListener("change", listener);
  return () => query.removeEventListener("change", listener);
}
