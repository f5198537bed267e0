// A QR code (ISO/IEC 18004): bytes, error correction M, versions 1 to 10, which is up to 213 bytes.

interface Version {
  /** Codewords for correction in each block; data codewords of each block; where alignment patterns are. */
  correction: number;
  blocks: number[];
  align: number[];
}

const VERSIONS: Version[] = [
  { correction: 10, blocks: [16], align: [] },
  { correction: 16, blocks: [28], align: [6, 18] },
  { correction: 26, blocks: [44], align: [6, 22] },
  { correction: 18, blocks: [32, 32], align: [6, 26] },
  { correction: 24, blocks: [43, 43], align: [6, 30] },
  { correction: 16, blocks: [27, 27, 27, 27], align: [6, 34] },
  { correction: 18, blocks: [31, 31, 31, 31], align: [6, 22, 38] },
  { correction: 22, blocks: [38, 38, 39, 39], align: [6, 24, 42] },
  { correction: 22, blocks: [36, 36, 36, 37, 37], align: [6, 26, 46] },
  { correction: 26, blocks: [43, 43, 43, 43, 44], align: [6, 28, 50] },
];
const MASKS: ((x: number, y: number) => boolean)[] = [
  (x, y) => (x + y) % 2 === 0,
  (_, y) => y % 2 === 0,
  (x) => x % 3 === 0,
  (x, y) => (x + y) % 3 === 0,
  (x, y) => (Math.floor(y / 2) + Math.floor(x / 3)) % 2 === 0,
  (x, y) => ((x * y) % 2) + ((x * y) % 3) === 0,
  (x, y) => (((x * y) % 2) + ((x * y) % 3)) % 2 === 0,
  (x, y) => (((x + y) % 2) + ((x * y) % 3)) % 2 === 0,
];

/** Rows of modules, true is dark; empty when the text is too long. */
export function qrCode(text: string): boolean[][] {
  const bytes = new TextEncoder().encode(text);
  const index = VERSIONS.findIndex(({ blocks }, i) => bytes.length + (i < 9 ? 2 : 3) <= sum(blocks));
  const version = VERSIONS[index];
  if (!version) return [];
  const words = interleaved(dataOf(bytes, index, version), version);
  const drawn = MASKS.map((_, mask) => draw(index, version, words, mask));
  return drawn.reduce((best, one) => (penalty(one) < penalty(best) ? one : best));
}

const sum = (numbers: number[]) => numbers.reduce((a, b) => a + b, 0);

function dataOf(bytes: Uint8Array, index: number, { blocks }: Version): number[] {
  const bits: number[] = [];
  const put = (value: number, length: number) => {
    for (let i = length - 1; i >= 0; i -= 1) bits.push((value >> i) & 1);
  };
  put(0b0100, 4); // bytes
  put(bytes.length, index < 9 ? 8 : 16);
  for (const byte of bytes) put(byte, 8);
  put(0, Math.min(4, sum(blocks) * 8 - bits.length));
  while (bits.length % 8) bits.push(0);
  const words: number[] = [];
  for (let i = 0; i < bits.length; i += 8) words.push(bits.slice(i, i + 8).reduce((word, bit) => word * 2 + bit, 0));
  for (let pad = 0xec; words.length < sum(blocks); pad ^= 0xec ^ 0x11) words.push(pad);
  return words;
}

/** In the field of 256 elements with x^8 + x^4 + x^3 + x^2 + 1. */
function times(a: number, b: number): number {
  let product = 0;
  for (let i = 7; i >= 0; i -= 1) {
    product = (product << 1) ^ ((product >> 7) * 0x11d);
    if ((b >> i) & 1) product ^= a;
  }
  return product;
}

function correctionOf(data: number[], length: number): number[] {
  const divisor = [...new Array<number>(length - 1).fill(0), 1];
  for (let i = 0, root = 1; i < length; i += 1, root = times(root, 2)) {
    for (let j = 0; j < length; j += 1) divisor[j] = times(divisor[j] ?? 0, root) ^ (divisor[j + 1] ?? 0);
  }
  const rest = new Array<number>(length).fill(0);
  for (const word of data) {
    const factor = word ^ (rest.shift() ?? 0);
    rest.push(0);
    divisor.forEach((part, i) => (rest[i] = (rest[i] ?? 0) ^ times(part, factor)));
  }
  return rest;
}

function interleaved(data: number[], { blocks, correction }: Version): number[] {
  let at = 0;
  const parts = blocks.map((length) => data.slice(at, (at += length)));
  const checks = parts.map((part) => correctionOf(part, correction));
  const across = (rows: number[][]) =>
    Array.from({ length: Math.max(...rows.map((row) => row.length)) }, (_, i) => rows.flatMap((row) => row[i] ?? [])).flat();
  return [...across(parts), ...across(checks)];
}

function draw(index: number, { align }: Version, words: number[], mask: number): boolean[][] {
  const size = 21 + 4 * index;
  const dark = Array.from({ length: size }, () => new Array<boolean>(size).fill(false));
  const fixed = Array.from({ length: size }, () => new Array<boolean>(size).fill(false));
  const set = (x: number, y: number, value: boolean) => {
    const [row, taken] = [dark[y], fixed[y]];
    if (!row || !taken || x < 0 || x >= size) return;
    row[x] = value;
    taken[x] = true;
  };
  for (let i = 0; i < size; i += 1) {
    set(6, i, i % 2 === 0);
    set(i, 6, i % 2 === 0);
  }
  for (const [cx, cy] of [[3, 3], [size - 4, 3], [3, size - 4]] as const) {
    for (let dy = -4; dy <= 4; dy += 1) {
      for (let dx = -4; dx <= 4; dx += 1) {
        const ring = Math.max(Math.abs(dx), Math.abs(dy));
        set(cx + dx, cy + dy, ring !== 2 && ring !== 4);
      }
    }
  }
  const last = align.length - 1;
  align.forEach((cx, i) =>
    align.forEach((cy, j) => {
      if ((i === 0 && j === 0) || (i === 0 && j === last) || (i === last && j === 0)) return; // a finder is there
      for (let dy = -2; dy <= 2; dy += 1) for (let dx = -2; dx <= 2; dx += 1) set(cx + dx, cy + dy, Math.max(Math.abs(dx), Math.abs(dy)) !== 1);
    }),
  );
  drawFormat(size, mask, set);
  if (index >= 6) drawVersion(size, index + 1, set);
  const paints = MASKS[mask] ?? (() => false);
  let bit = 0;
  for (let right = size - 1; right >= 1; right -= 2) {
    if (right === 6) right = 5;
    for (let step = 0; step < size; step += 1) {
      const y = ((right + 1) & 2) === 0 ? size - 1 - step : step;
      for (const x of [right, right - 1]) {
        if (fixed[y]?.[x]) continue;
        const value = ((words[bit >> 3] ?? 0) >> (7 - (bit & 7))) & 1;
        bit += 1;
        const row = dark[y];
        if (row) row[x] = Boolean(value) !== paints(x, y);
      }
    }
  }
  return dark;
}

type Set = (x: number, y: number, value: boolean) => void;

/** The remainder that the standard puts behind `value`, of `length` bits. */
function checked(value: number, length: number, divisor: number): number {
  let rest = value;
  for (let i = 0; i < length; i += 1) rest = (rest << 1) ^ ((rest >> (length - 1)) * divisor);
  return (value << length) | rest;
}

function drawFormat(size: number, mask: number, set: Set): void {
  const bits = checked(mask, 10, 0x537) ^ 0x5412; // correction M is 00
  const bit = (i: number) => ((bits >> i) & 1) === 1;
  for (let i = 0; i <= 5; i += 1) set(8, i, bit(i));
  set(8, 7, bit(6));
  set(8, 8, bit(7));
  set(7, 8, bit(8));
  for (let i = 9; i < 15; i += 1) set(14 - i, 8, bit(i));
  for (let i = 0; i < 8; i += 1) set(size - 1 - i, 8, bit(i));
  for (let i = 8; i < 15; i += 1) set(8, size - 15 + i, bit(i));
  set(8, size - 8, true);
}

function drawVersion(size: number, version: number, set: Set): void {
  const bits = checked(version, 12, 0x1f25);
  for (let i = 0; i < 18; i += 1) {
    const [a, b] = [size - 11 + (i % 3), Math.floor(i / 3)];
    set(a, b, ((bits >> i) & 1) === 1);
    set(b, a, ((bits >> i) & 1) === 1);
  }
}

/** How hard it is to read: long runs, blocks, and more of one colour than of the other. */
function penalty(dark: boolean[][]): number {
  const size = dark.length;
  const at = (x: number, y: number) => dark[y]?.[x] ?? false;
  let points = 0;
  for (const along of [at, (x: number, y: number) => at(y, x)]) {
    for (let y = 0; y < size; y += 1) {
      for (let x = 0, run = 0; x < size; x += 1) {
        run = x > 0 && along(x, y) === along(x - 1, y) ? run + 1 : 1;
        if (run === 5) points += 3;
        else if (run > 5) points += 1;
      }
    }
  }
  for (let y = 1; y < size; y += 1) {
    for (let x = 1; x < size; x += 1) if (at(x, y) === at(x - 1, y) && at(x, y) === at(x, y - 1) && at(x, y) === at(x - 1, y - 1)) points += 3;
  }
  const share = sum(dark.map((row) => row.filter(Boolean).length)) / size ** 2;
  return points + 10 * Math.floor(Math.abs(share - 0.5) * 20);
}
