// Data: from the text in the page to numbers.

const data = JSON.parse(document.getElementById("data").textContent);

function bytesOf(text) {
  const letters = atob(text);
  const bytes = new Uint8Array(letters.length);
  for (let i = 0; i < letters.length; i++) bytes[i] = letters.charCodeAt(i);
  return bytes;
}

async function inflated(text) {
  const stream = new Blob([bytesOf(text)]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Response(stream).arrayBuffer();
}

// Half precision by arithmetic: sign, five bits of exponent, ten of fraction.
function halfNumber(bits) {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  return sign * (exponent ? 2 ** (exponent - 15) * (1 + fraction / 1024) : 2 ** -24 * fraction);
}

async function halves(text) {
  return Float32Array.from(new Uint16Array(await inflated(text)), halfNumber);
}

// What was computed once for a key; at most `limit` entries are kept.
function remembered(compute, limit = 48) {
  const kept = new Map();
  return (key, ...rest) => {
    if (!kept.has(key)) {
      if (kept.size >= limit) kept.delete(kept.keys().next().value);
      kept.set(key, compute(...rest));
    }
    return kept.get(key);
  };
}

function restored(bytes, low, high, start = 0, count = bytes.length) {
  const step = (high - low) / 255;
  const values = new Float64Array(count);
  for (let i = 0; i < count; i++) values[i] = low + bytes[start + i] * step;
  return values;
}

// From which places or tokens a layer's attention can be shown.
function modesOf(layer) {
  if (layer?.kind !== "pairwise") return [];
  const tokens = (layer.tokens ?? []).map((_, i) => `token ${i}`);
  return layer.kept[0].length ? ["query", "mean", ...tokens] : tokens;
}

const tokenOf = (mode) => (mode.startsWith("token ") ? Number(mode.slice(6)) : null);
const headsOf = (layer, mode) => (tokenOf(mode) === null ? layer?.heads : layer.tokenRows.heads) ?? 1;

// A layer on one picture: `size` of its grid, `cell(at)` at a point, and `row(mode, place, head)`,
// the values on the grid; a map has one row. Pairwise layers have `limits(mode, head)` besides, and
// `queries`, the size of the grid of places that ask, if any do.
async function openLayer(layer, number) {
  if (layer.kind !== "pairwise") {
    const bytes = new Uint8Array(await inflated(layer.values[number]));
    const values = restored(bytes, layer.low[number], layer.high[number]);
    return { size: layer.size, row: () => values, cell: (at) => cellOf(layer.size, at) };
  }
  const count = layer.keys[0] * layer.keys[1];
  const [ys, xs] = layer.kept;
  const places = ys.length * xs.length;
  const ofPlaces = layer.encoding === "rows" ? await openRows(layer.rows, number, places, layer.keys) : await openKeys(layer, number);
  const ofTokens = layer.tokens ? await openRows(layer.tokenRows, number, layer.tokens.length, layer.keys) : null;
  const meanOf = (rows) => {
    const sum = new Float64Array(count);
    for (const row of rows) for (let i = 0; i < count; i++) sum[i] += row[i] / rows.length;
    return sum;
  };
  const every = (length, made) => Array.from({ length }, (_, i) => made(i));
  const rowOf = (mode, place, head) => {
    const [rows, at] = tokenOf(mode) === null ? [ofPlaces, place] : [ofTokens, tokenOf(mode)];
    return head < 0 ? meanOf(every(headsOf(layer, mode), (each) => rows(each, at))) : rows(head, at);
  };
  const means = remembered((head) => {
    const sum = new Float64Array(count);
    for (let place = 0; place < places; place++) {
      const row = rowOf("query", place, head);
      for (let i = 0; i < count; i++) sum[i] += row[i] / places;
    }
    return sum;
  });
  const limits = remembered((mode, head) => {
    let [low, high] = [Infinity, -Infinity];
    for (let place = 0; place < (tokenOf(mode) === null ? places : 1); place++) {
      const [least, most] = limitsOf(rowOf(mode, place, head));
      [low, high] = [Math.min(low, least), Math.max(high, most)];
    }
    return [low, high];
  });
  return {
    size: layer.keys,
    queries: places ? layer.size : null,
    cell: (at) => {
      if (!places) return cellOf(layer.keys, at);
      const y = nearest(ys, at.y * layer.size[0] - 0.5);
      const x = nearest(xs, at.x * layer.size[1] - 0.5);
      return { y: ys[y], x: xs[x], place: y * xs.length + x };
    },
    step: places && ((at, dy, dx) => ({
      y: (stepped(ys, at.y * layer.size[0] - 0.5, dy) + 0.5) / layer.size[0],
      x: (stepped(xs, at.x * layer.size[1] - 0.5, dx) + 0.5) / layer.size[1],
    })),
    row: (mode, place, head) => (mode === "mean" ? means(head, head) : rowOf(mode, place, head)),
    limits: (mode, head) => limits(`${mode} ${head}`, mode === "mean" ? "query" : mode, head),
  };
}

// Rows that were kept: (head, place) to the row, of one picture.
async function openRows(rows, number, places, grid) {
  if (rows.streams) return openLevels(rows, number, places, grid);
  const count = grid[0] * grid[1];
  const bytes = new Uint8Array(await inflated(rows.values[number]));
  const ends = new Float32Array(await inflated(rows.ends[number]));
  return (head, place) => {
    const row = head * places + place;
    return restored(bytes, ends[2 * row], ends[2 * row + 1], row * count, count);
  };
}

async function openKeys(layer, number) {
  const [queries, keys] = await Promise.all([halves(layer.q[number]), halves(layer.k[number])]);
  const width = layer.width;
  const count = layer.keys[0] * layer.keys[1];
  const places = layer.size[0] * layer.size[1];
  const [factor, second] = layer.factors[number];
  return (head, place) => {
    const query = (head * places + place) * width;
    const scores = new Float64Array(count);
    for (let s = 0; s < count; s++) {
      const key = (head * count + s) * width;
      if (layer.function === "relu_sum") {
        scores[s] = Math.max(0, queries[query] * factor + keys[key] * second);
        continue;
      }
      let sum = 0;
      for (let d = 0; d < width; d++) sum += queries[query + d] * keys[key + d];
      scores[s] = sum * factor;
    }
    return layer.function === "softmax" ? softmax(scores) : scores;
  };
}

function softmax(scores) {
  const highest = scores.reduce((a, b) => Math.max(a, b), -Infinity);
  const parts = scores.map((score) => Math.exp(score - highest));
  const total = parts.reduce((a, b) => a + b, 0);
  return parts.map((part) => part / total);
}

const cellOf = ([height, width], at) => ({
  y: Math.min(height - 1, Math.floor(at.y * height)),
  x: Math.min(width - 1, Math.floor(at.x * width)),
});

function nearest(places, wanted) {
  let best = 0;
  places.forEach((place, i) => {
    if (Math.abs(place - wanted) < Math.abs(places[best] - wanted)) best = i;
  });
  return best;
}

function stepped(places, from, by) {
  const place = nearest(places, from) + by;
  return places[Math.max(0, Math.min(places.length - 1, place))];
}

const opened = remembered((model, layer, number) => openLayer(data.models[model].layers[layer], number));
const layerOn = (model, layer, number) => opened(`${model}/${layer}/${number}`, model, layer, number);

// The true mask: foreground (1), background (0), unknown (2), and the soft values for its outline.
const masks = remembered(async (picture) => {
  if (!picture.mask) return null;
  const steps = new Uint8Array(await inflated(picture.mask));
  return {
    kinds: steps.map((step) => (step === 255 ? 2 : step >= 127 ? 1 : 0)),
    soft: Float64Array.from(steps, (step) => (step === 255 ? 0 : (step + 0.5) / 254.5)),
  };
}, 1000);
const maskOf = (number) => masks(number, data.pictures[number]);
