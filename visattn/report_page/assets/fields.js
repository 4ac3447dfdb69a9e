// Mathematics on maps: resizing, overlap with the true mask, lines of equal value.

// Where the samples of one axis come from, cell centres at half-pixel positions.
const axes = remembered((from, to) => {
  const first = new Int32Array(to);
  const second = new Int32Array(to);
  const share = new Float64Array(to);
  for (let i = 0; i < to; i++) {
    const at = Math.max(0, Math.min(from - 1, ((i + 0.5) * from) / to - 0.5));
    first[i] = Math.floor(at);
    second[i] = Math.min(from - 1, first[i] + 1);
    share[i] = at - first[i];
  }
  return { first, second, share };
}, 200);

// Into `found` where it is given, as long as what comes: what is drawn again and again leaves nothing
// to clear away then.
function resized(values, [height, width], [toHeight, toWidth], found = new Float64Array(toHeight * toWidth)) {
  if (height === toHeight && width === toWidth) return values;
  const rows = axes(`${height}/${toHeight}`, height, toHeight);
  const columns = axes(`${width}/${toWidth}`, width, toWidth);
  for (let y = 0; y < toHeight; y++) {
    const above = rows.first[y] * width;
    const below = rows.second[y] * width;
    const down = rows.share[y];
    for (let x = 0; x < toWidth; x++) {
      const [left, right, along] = [columns.first[x], columns.second[x], columns.share[x]];
      const top = values[above + left] * (1 - along) + values[above + right] * along;
      const bottom = values[below + left] * (1 - along) + values[below + right] * along;
      found[y * toWidth + x] = top * (1 - down) + bottom * down;
    }
  }
  return found;
}

function limitsOf(values) {
  let [low, high] = [Infinity, -Infinity];
  for (const value of values) {
    if (value < low) low = value;
    if (value > high) high = value;
  }
  return [low, high];
}

// Against the true mask, with `field` of its size: the same definitions as in visattn.metrics.
function overlap(field, kinds, threshold) {
  let [both, either, inside, total, object, known] = [0, 0, 0, 0, 0, 0];
  let [peak, hits, peaks, lowest] = [-Infinity, 0, 0, Infinity];
  for (let i = 0; i < field.length; i++) {
    if (kinds[i] === 2) continue;
    const value = field[i];
    const on = kinds[i] === 1;
    const marked = value >= threshold;
    known++;
    if (on) object++;
    if (marked && on) both++;
    if (marked || on) either++;
    if (value > 0) {
      total += value;
      if (on) inside += value;
    }
    if (value > peak) [peak, hits, peaks] = [value, 0, 0];
    if (value === peak) {
      peaks++;
      if (on) hits++;
    }
    if (value < lowest) lowest = value;
  }
  return {
    iou: either ? both / either : NaN,
    inside: total > 0 ? inside / total : NaN,
    chance: known ? object / known : NaN,
    peak: !object ? NaN : peak > lowest ? hits / peaks : 0,
  };
}

// Lines on which a field has a value, as joined points (x, y) in units of its pixels.
function linesAt(field, [height, width], level) {
  const ends = new Map();
  const lines = [];
  const cut = (a, b) => (level - a) / (b - a);
  const join = (from, to) => {
    const tail = ends.get(from.key);
    const head = ends.get(to.key);
    if (tail && head && tail !== head) {
      const longer = tail[tail.length - 1].key === from.key ? tail : tail.reverse();
      const added = head[0].key === to.key ? head : head.reverse();
      ends.delete(from.key);
      ends.delete(to.key);
      longer.push(...added);
      lines.splice(lines.indexOf(added), 1);
      ends.set(longer[0].key, longer);
      ends.set(longer[longer.length - 1].key, longer);
    } else if (tail && head) {
      tail.closed = true;
      ends.delete(from.key);
      ends.delete(to.key);
    } else if (tail || head) {
      const line = tail || head;
      const [known, fresh] = tail ? [from, to] : [to, from];
      if (line[line.length - 1].key === known.key) line.push(fresh);
      else line.unshift(fresh);
      ends.delete(known.key);
      ends.set(fresh.key, line);
    } else {
      const line = [from, to];
      lines.push(line);
      ends.set(from.key, line);
      ends.set(to.key, line);
    }
  };
  for (let y = 0; y + 1 < height; y++) {
    for (let x = 0; x + 1 < width; x++) {
      const i = y * width + x;
      const [a, b, c, d] = [field[i], field[i + 1], field[i + width + 1], field[i + width]];
      const code = (a >= level) | ((b >= level) << 1) | ((c >= level) << 2) | ((d >= level) << 3);
      if (code === 0 || code === 15) continue;
      const top = () => ({ x: x + 0.5 + cut(a, b), y: y + 0.5, key: 2 * i });
      const left = () => ({ x: x + 0.5, y: y + 0.5 + cut(a, d), key: 2 * i + 1 });
      const right = () => ({ x: x + 1.5, y: y + 0.5 + cut(b, c), key: 2 * (i + 1) + 1 });
      const bottom = () => ({ x: x + 0.5 + cut(d, c), y: y + 1.5, key: 2 * (i + width) });
      if (code === 1 || code === 14) join(left(), top());
      else if (code === 2 || code === 13) join(top(), right());
      else if (code === 3 || code === 12) join(left(), right());
      else if (code === 4 || code === 11) join(right(), bottom());
      else if (code === 6 || code === 9) join(top(), bottom());
      else if (code === 7 || code === 8) join(left(), bottom());
      else {
        const full = (a + b + c + d) / 4 >= level;
        const aside = (code === 5) === full;
        join(left(), aside ? bottom() : top());
        join(right(), aside ? top() : bottom());
      }
    }
  }
  return lines;
}
