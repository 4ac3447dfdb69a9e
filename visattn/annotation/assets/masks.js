// Masks as bytes, one a pixel of the page's picture: reading, drawing on them, their outline.

const data = JSON.parse(document.getElementById("data").textContent);

function loadedImage(address) {
  return new Promise((done, failed) => {
    const image = new Image();
    image.onload = () => done(image);
    image.onerror = () => failed(new Error("a picture of the page cannot be read"));
    image.src = address;
  });
}

function sheetOf(width, height) {
  const sheet = document.createElement("canvas");
  sheet.width = width;
  sheet.height = height;
  return sheet;
}

// 1 where the mask is the object.
async function maskOf(address, width, height) {
  const pen = sheetOf(width, height).getContext("2d", { willReadFrequently: true });
  pen.drawImage(await loadedImage(address), 0, 0);
  const pixels = pen.getImageData(0, 0, width, height).data;
  return Uint8Array.from({ length: width * height }, (_, place) => (pixels[4 * place] >= 128 ? 1 : 0));
}

function addressOf(mask, width, height) {
  const sheet = sheetOf(width, height);
  const pen = sheet.getContext("2d");
  const picture = pen.createImageData(width, height);
  for (let place = 0; place < mask.length; place++) {
    picture.data.fill(mask[place] ? 255 : 0, 4 * place, 4 * place + 3);
    picture.data[4 * place + 3] = 255;
  }
  pen.putImageData(picture, 0, 0);
  return sheet.toDataURL("image/png");
}

// Sets all pixels within `radius` of the way from one point to another.
function stroke(mask, width, height, from, to, radius, value) {
  const [dx, dy] = [to.x - from.x, to.y - from.y];
  const length = dx * dx + dy * dy;
  const top = Math.max(0, Math.floor(Math.min(from.y, to.y) - radius));
  const bottom = Math.min(height - 1, Math.ceil(Math.max(from.y, to.y) + radius));
  const left = Math.max(0, Math.floor(Math.min(from.x, to.x) - radius));
  const right = Math.min(width - 1, Math.ceil(Math.max(from.x, to.x) + radius));
  for (let y = top; y <= bottom; y++) {
    for (let x = left; x <= right; x++) {
      const [px, py] = [x + 0.5 - from.x, y + 0.5 - from.y];
      const share = length ? Math.min(1, Math.max(0, (px * dx + py * dy) / length)) : 0;
      const [rx, ry] = [px - share * dx, py - share * dy];
      if (rx * rx + ry * ry <= radius * radius) mask[y * width + x] = value;
    }
  }
}
