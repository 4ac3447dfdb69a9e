// Drawing: a map over its picture, lines, the place that asks.

const tables = Object.fromEntries(
  Object.entries(data.colours).map(([name, text]) => [name, bytesOf(text)]),
);

const loaded = remembered(async (address) => {
  const image = new Image();
  image.src = address;
  await image.decode();
  return image;
}, 1000);
const imageOf = (number) => loaded(number, data.pictures[number].src);

const sheets = remembered((height, width) => {
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [width, height];
  const context = canvas.getContext("2d", { willReadFrequently: true });
  return { canvas, context, pixels: context.createImageData(width, height) };
});

// The map as a small canvas, to be stretched over the picture at once: the next of its size is
// painted on the same, since new ones leave much to clear away.
function painted(field, [height, width], { low, high, palette, style }) {
  const { canvas, context, pixels } = sheets(`${height} ${width}`, height, width);
  const table = tables[palette];
  const span = high - low;
  const flat = style === "fading" && high === 0 ? 0 : 0.5; // zeros mark nothing
  for (let i = 0; i < field.length; i++) {
    const share = span > 0 ? Math.max(0, Math.min(1, (field[i] - low) / span)) : flat;
    const at = 4 * i;
    if (style === "spotlight") {
      pixels.data[at] = pixels.data[at + 1] = pixels.data[at + 2] = 0;
      pixels.data[at + 3] = 255 * (1 - share);
      continue;
    }
    const colour = 3 * Math.min(255, Math.floor(share * 256));
    pixels.data[at] = table[colour];
    pixels.data[at + 1] = table[colour + 1];
    pixels.data[at + 2] = table[colour + 2];
    pixels.data[at + 3] = style === "fading" ? 255 * Math.sqrt(share) : 255;
  }
  context.putImageData(pixels, 0, 0);
  return canvas;
}

function pathOf(lines, scaleX, scaleY) {
  const path = new Path2D();
  for (const line of lines) {
    line.forEach((point, i) => {
      if (i) path.lineTo(point.x * scaleX, point.y * scaleY);
      else path.moveTo(point.x * scaleX, point.y * scaleY);
    });
    if (line.closed) path.closePath();
  }
  return path;
}

function stroke(context, path, { colour, width, dash = [] }) {
  context.lineJoin = "round";
  context.setLineDash([]);
  context.lineWidth = width * 2.2;
  context.strokeStyle = "rgb(0 0 0 / 0.6)";
  context.stroke(path);
  context.setLineDash(dash);
  context.lineWidth = width;
  context.strokeStyle = colour;
  context.stroke(path);
  context.setLineDash([]);
}

const FINEST = 128; // lines need no finer field
const TRUTH = "#ffffff";
const FOUND = "#ff7a1a";

function gridFor([height, width]) {
  const scale = Math.min(1, FINEST / Math.max(height, width));
  return [Math.max(2, Math.round(height * scale)), Math.max(2, Math.round(width * scale))];
}

const lineFields = remembered((count) => new Float64Array(count));

// A picture at the size of the canvas; made once, since good scaling takes long.
const backdrops = remembered((image, width, height) => {
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [width, height];
  const context = canvas.getContext("2d");
  context.imageSmoothingQuality = "high";
  context.drawImage(image, 0, 0, width, height);
  return canvas;
});
const backdrop = (number, width, height, image) =>
  backdrops(`${number} ${width} ${height}`, image, width, height);

// The outline of a true mask at the size of the canvas, made once, too.
const outlines = remembered(({ mask, size }, width, height, pixel) => {
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [width, height];
  const grid = gridFor(size);
  const path = pathOf(linesAt(resized(mask.soft, size, grid), grid, 0.5), width / grid[1], height / grid[0]);
  stroke(canvas.getContext("2d"), path, { colour: TRUTH, width: lineWidth(pixel) });
  return canvas;
});
const lineWidth = (pixel) => Math.max(1, 1.5 * pixel);

// scene: number, image, size; field on grid, and full, the same at the picture's size; low, high,
// threshold; mask; cell on cellGrid, which asks if rows belong to places, and the point at.
function drawScene(canvas, scene, look, pixel = 1) {
  const context = canvas.getContext("2d");
  const [height, width] = [canvas.height, canvas.width];
  context.drawImage(backdrop(scene.number, width, height, scene.image), 0, 0);
  if (scene.field) {
    const [shown, grid] = look.smooth ? [scene.full, scene.size] : [scene.field, scene.grid];
    context.globalAlpha = look.opacity;
    context.imageSmoothingEnabled = look.smooth;
    context.drawImage(painted(shown, grid, { ...scene, ...look }), 0, 0, width, height);
    context.globalAlpha = 1;
  }
  if (look.region && scene.field && scene.high > scene.low) {
    const grid = gridFor(scene.size);
    const count = grid[0] * grid[1];
    const field = resized(scene.full, scene.size, grid, lineFields(count, count));
    const lines = linesAt(field, grid, scene.threshold);
    const path = pathOf(lines, width / grid[1], height / grid[0]);
    stroke(context, path, { colour: FOUND, width: lineWidth(pixel), dash: [5 * pixel, 3 * pixel] });
  }
  if (look.outline && scene.mask) {
    context.drawImage(outlines(`${scene.number} ${width} ${height} ${pixel}`, scene, width, height, pixel), 0, 0);
  }
  if (scene.asks) drawCell(context, scene, pixel);
  else if (scene.at) drawPoint(context, scene.at, pixel);
}

function drawPoint(context, at, pixel) {
  const { width, height } = context.canvas;
  const ring = new Path2D();
  ring.arc(at.x * width, at.y * height, 5 * pixel, 0, 2 * Math.PI);
  stroke(context, ring, { colour: "#ffffff", width: 2 * pixel });
}

function drawCell(context, scene, pixel) {
  const [rows, columns] = scene.cellGrid;
  const { width, height } = context.canvas;
  const least = 9 * pixel;
  const wide = Math.max(least, width / columns);
  const tall = Math.max(least, height / rows);
  const centre = [((scene.cell.x + 0.5) * width) / columns, ((scene.cell.y + 0.5) * height) / rows];
  const frame = new Path2D();
  const inset = 1.5 * pixel;
  const x = Math.max(inset, Math.min(width - wide - inset, centre[0] - wide / 2));
  const y = Math.max(inset, Math.min(height - tall - inset, centre[1] - tall / 2));
  frame.roundRect(x, y, wide, tall, 2 * pixel);
  context.lineWidth = 4.5 * pixel;
  context.strokeStyle = "rgb(0 0 0 / 0.75)";
  context.stroke(frame);
  context.lineWidth = 2 * pixel;
  context.strokeStyle = "#ffffff";
  context.stroke(frame);
}
