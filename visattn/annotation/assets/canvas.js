// The picture with its mask: what is outside is dark, a line goes around what is inside.

const canvas = document.getElementById("canvas");
const view = document.getElementById("view");
const shade = { sheet: null, picture: null };

function fitCanvas(picture) {
  const scale = Math.min(view.clientWidth / picture.width, view.clientHeight / picture.height);
  const dots = window.devicePixelRatio || 1;
  canvas.style.width = `${Math.floor(picture.width * scale)}px`;
  canvas.style.height = `${Math.floor(picture.height * scale)}px`;
  canvas.width = Math.floor(picture.width * scale * dots);
  canvas.height = Math.floor(picture.height * scale * dots);
  shade.sheet = sheetOf(picture.width, picture.height);
  shade.picture = shade.sheet.getContext("2d").createImageData(picture.width, picture.height);
}

function paint(picture, { image, mask, bare, cursor }) {
  const pen = canvas.getContext("2d");
  const scale = canvas.width / picture.width;
  pen.imageSmoothingQuality = "high";
  pen.drawImage(image, 0, 0, canvas.width, canvas.height);
  if (!bare) {
    const pixels = shade.picture.data;
    for (let place = 0; place < mask.length; place++) pixels[4 * place + 3] = mask[place] ? 0 : 150;
    shade.sheet.getContext("2d").putImageData(shade.picture, 0, 0);
    pen.drawImage(shade.sheet, 0, 0, canvas.width, canvas.height);
    const outline = outlineOf(picture, mask, scale);
    const dots = window.devicePixelRatio || 1;
    for (const [colour, width] of [["#000", 4 * dots], ["#ffe14d", 2 * dots]]) {
      pen.strokeStyle = colour;
      pen.lineWidth = width;
      pen.stroke(outline);
    }
  }
  if (cursor) {
    for (const [colour, width] of [["#000", 3], [cursor.erases ? "#ff8a80" : "#7dffb0", 1.5]]) {
      pen.beginPath();
      pen.arc(cursor.x * scale, cursor.y * scale, cursor.radius * scale, 0, 2 * Math.PI);
      pen.strokeStyle = colour;
      pen.lineWidth = width * (window.devicePixelRatio || 1);
      pen.stroke();
    }
  }
}

// Every edge between a pixel inside and one outside, runs of edges as one line.
function outlineOf({ width, height }, mask, scale) {
  const path = new Path2D();
  const differs = (x, y, step) => mask[y * width + x] !== mask[y * width + x + step];
  for (let y = 0; y < height - 1; y++) {
    for (let x = 0; x < width; x++) {
      if (!differs(x, y, width)) continue;
      const start = x;
      while (x < width && differs(x, y, width)) x++;
      path.moveTo(start * scale, (y + 1) * scale);
      path.lineTo(x * scale, (y + 1) * scale);
    }
  }
  for (let x = 0; x < width - 1; x++) {
    for (let y = 0; y < height; y++) {
      if (!differs(x, y, 1)) continue;
      const start = y;
      while (y < height && differs(x, y, 1)) y++;
      path.moveTo((x + 1) * scale, start * scale);
      path.lineTo((x + 1) * scale, y * scale);
    }
  }
  return path;
}

function pointOf(event, picture) {
  const box = canvas.getBoundingClientRect();
  return {
    x: ((event.clientX - box.left) / box.width) * picture.width,
    y: ((event.clientY - box.top) / box.height) * picture.height,
  };
}
