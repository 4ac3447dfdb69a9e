// Rows that were coded as levels of each row's span: see coding.py, which writes them.

const FINE = 31;
const AROUND = [1, 2, 4, 6, 9, 12, 18, 24, 36, 48, 60, 72, 84, 96, 112, 128, 150];
const BEFORE = [1, 2, 4, 8, 16, 24, 32, 40, 48, 56, 64, 72, 80, 88, 96, 104];

// For each number from 0 on, in which class it falls.
function classes(edges, count) {
  const found = new Uint8Array(count);
  for (let i = 0; i < count; i++) found[i] = edges.filter((edge) => i >= edge).length;
  return found;
}
const AROUND_CLASS = classes(AROUND, 6 * FINE + 1);
const BEFORE_CLASS = classes(BEFORE, 4 * FINE + 1);

// The rows of one lane into `levels` from `at` on; `words` from `from` on.
function readLane(words, from, table, levels, at, rows, [height, width]) {
  const count = height * width;
  const sums = new Int32Array(count);
  let state = words[from] * 65536 + words[from + 1];
  let next = from + 2;
  for (let row = 0; row < rows; row++) {
    for (let i = 0; i < count; i++, at++) {
      const x = i % width;
      const top = i >= width;
      const left = x ? levels[at - 1] : 0;
      const above = top ? levels[at - width] : 0;
      const aside = (top && x ? levels[at - width - 1] : 0) + (top && x < width - 1 ? levels[at - width + 1] : 0);
      const mean = row ? 1 + BEFORE_CLASS[Math.floor((4 * sums[i]) / row)] : 0;
      let cell = (AROUND_CLASS[2 * (left + above) + aside] * (BEFORE.length + 2) + mean) * (FINE + 1);
      const slot = state & 4095;
      let [start, level] = [0, 0];
      while (start + table[cell] <= slot) {
        start += table[cell++];
        level++;
      }
      state = table[cell] * (state >>> 12) + slot - start;
      if (state < 32768) state = state * 65536 + words[next++];
      levels[at] = level;
      sums[i] += level;
    }
  }
}

// (head, place) to the row, of one picture.
async function openLevels(rows, number, places, grid) {
  const packed = [rows.streams[number], rows.spans[number], rows.table];
  const [words, spans, table] = (await Promise.all(packed.map(inflated))).map((bytes) => new Uint16Array(bytes));
  const lows = rows.lows[number] && new Float32Array(await inflated(rows.lows[number]));
  const count = grid[0] * grid[1];
  const lanes = Math.ceil(places / rows.lane);
  const levels = new Uint8Array(rows.heads * places * count);
  let from = 2 * rows.heads * lanes; // behind the lengths, two words each
  for (let lane = 0; lane < rows.heads * lanes; lane++) {
    const first = (lane % lanes) * rows.lane;
    const at = (Math.floor(lane / lanes) * places + first) * count;
    readLane(words, from, table, levels, at, Math.min(rows.lane, places - first), grid);
    from += words[2 * lane] + 65536 * words[2 * lane + 1];
  }
  return (head, place) => {
    const row = head * places + place;
    const step = (rows.units[number] * 2 ** (-spans[row] / 2048)) / rows.top;
    const low = lows ? lows[row] : 0;
    const values = new Float64Array(count);
    for (let i = 0; i < count; i++) values[i] = low + levels[row * count + i] * step;
    return values;
  };
}
