// Reads the TopoJSON of the countries (https://github.com/topojson/topojson-specification) and names them
// in the language of the page with the names that the browser knows.

export interface Topology {
  transform: { scale: [number, number]; translate: [number, number] };
  arcs: [number, number][][];
  objects: { countries: { geometries: { arcs: number[][][]; properties: { name: string } }[] } };
}

type Ring = [number, number][];

/** Polygons, and a point for each name. */
export function countries(topology: Topology): GeoJSON.FeatureCollection {
  const arcs = topology.arcs.map((arc) => decode(arc, topology.transform));
  const korean = koreanNames();
  const features: GeoJSON.Feature[] = [];
  for (const { arcs: polygons, properties } of topology.objects.countries.geometries) {
    const shapes = polygons
      .map((rings) => rings.map((ring) => join(ring, arcs)).filter((ring) => ring.length >= 4))
      .filter((rings) => rings.length > 0);
    if (shapes.length === 0) continue;
    features.push({ type: "Feature", properties: {}, geometry: { type: "MultiPolygon", coordinates: shapes } });
    const en = LONG_NAMES[properties.name] ?? properties.name;
    features.push({
      type: "Feature",
      properties: { en, ko: korean.get(en) ?? en },
      geometry: { type: "Point", coordinates: middle(shapes.map((rings) => rings[0] ?? [])) },
    });
  }
  return { type: "FeatureCollection", features };
}

function decode(arc: [number, number][], { scale, translate }: Topology["transform"]): Ring {
  let x = 0;
  let y = 0;
  return arc.map(([dx, dy]) => {
    x += dx;
    y += dy;
    return [x * scale[0] + translate[0], y * scale[1] + translate[1]];
  });
}

/** A negative index is the arc of its complement, backwards; the joint of two arcs is in both. */
function join(indexes: number[], arcs: Ring[]): Ring {
  const ring: Ring = [];
  for (const index of indexes) {
    const arc = index < 0 ? [...(arcs[~index] ?? [])].reverse() : (arcs[index] ?? []);
    ring.push(...(ring.length > 0 ? arc.slice(1) : arc));
  }
  return ring;
}

/** The middle of the largest part: good enough for a name. */
function middle(rings: Ring[]): [number, number] {
  let best: [number, number] = [0, 0];
  let largest = 0;
  for (const ring of rings) {
    let area = 0;
    let x = 0;
    let y = 0;
    for (let i = 1; i < ring.length; i++) {
      const [x0, y0] = ring[i - 1] ?? [0, 0];
      const [x1, y1] = ring[i] ?? [0, 0];
      const cross = x0 * y1 - x1 * y0;
      area += cross;
      x += (x0 + x1) * cross;
      y += (y0 + y1) * cross;
    }
    if (Math.abs(area) > largest) {
      largest = Math.abs(area);
      best = [x / (3 * area), y / (3 * area)];
    }
  }
  return best;
}

function koreanNames(): Map<string, string> {
  const names = new Map<string, string>();
  const en = new Intl.DisplayNames("en", { type: "region", fallback: "none" });
  const ko = new Intl.DisplayNames("ko", { type: "region", fallback: "none" });
  const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
  for (const first of letters) {
    for (const second of letters) {
      const english = en.of(first + second);
      if (english) names.set(english, ko.of(first + second) ?? english);
    }
  }
  return names;
}

// Natural Earth's short names where the browser's differ.
const LONG_NAMES: Record<string, string> = {
  "United States of America": "United States",
  "Dem. Rep. Congo": "Congo - Kinshasa",
  Congo: "Congo - Brazzaville",
  "Central African Rep.": "Central African Republic",
  "S. Sudan": "South Sudan",
  "W. Sahara": "Western Sahara",
  "Dominican Rep.": "Dominican Republic",
  "Bosnia and Herz.": "Bosnia & Herzegovina",
  Macedonia: "North Macedonia",
  "Eq. Guinea": "Equatorial Guinea",
  "Côte d'Ivoire": "Côte d’Ivoire",
  Myanmar: "Myanmar (Burma)",
  Turkey: "Türkiye",
  eSwatini: "Eswatini",
  Palestine: "Palestinian Territories",
};
