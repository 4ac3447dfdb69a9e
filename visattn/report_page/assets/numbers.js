// The numbers as a table, and files of what is shown.

function fillTable(panel) {
  const { scene } = panel;
  const into = panel.find(".table");
  if (!panel.find(".values").open || !scene?.field) return;
  const [height, width] = scene.grid;
  if (height * width > 1024) {
    into.replaceChildren(element("p", {}, `${height} × ${width} numbers are too many for a table here: save them.`));
    return;
  }
  if (into.querySelectorAll("td").length !== height * width) {
    const columns = ["row", ...Array(width).keys()].map((x) => element("th", { scope: "col" }, x === "row" ? x : `${x + 1}`));
    const rows = Array.from({ length: height }, (_, y) => element(
      "tr",
      {},
      element("th", { scope: "row" }, `${y + 1}`),
      ...Array.from({ length: width }, () => element("td")),
    ));
    const head = element("thead", {}, element("tr", {}, ...columns));
    into.replaceChildren(element("table", {}, head, element("tbody", {}, ...rows)));
  }
  into.querySelectorAll("td").forEach((cell, i) => {
    cell.textContent = scene.field[i].toPrecision(5);
  });
}

function save(blob, name) {
  const link = element("a", { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

function fileName(panel, ending) {
  const { scene, mode, layer } = panel;
  const token = layer?.kind === "pairwise" && tokenOf(mode) !== null ? layer.tokens[tokenOf(mode)] : "";
  const place = scene.asks ? `row${scene.cell.y + 1}_column${scene.cell.x + 1}` : token;
  const parts = [data.pictures[state.picture].name, panel.name, layer?.name ?? "", place];
  return `${parts.filter(Boolean).map((part) => part.replace(/[^\w.-]+/g, "_")).join("_")}.${ending}`;
}

// The numbers on the layer's own grid: a line a row, commas between.
function saveNumbers(panel) {
  const { field, grid } = panel.scene;
  const lines = Array.from({ length: grid[0] }, (_, y) =>
    Array.from(field.slice(y * grid[1], (y + 1) * grid[1]), (value) => value.toPrecision(9)).join(","),
  );
  save(new Blob([`${lines.join("\n")}\n`], { type: "text/csv" }), fileName(panel, "csv"));
}

// The picture as it stands there, with its colour bar and what it shows.
function savePicture(panel) {
  const { scene, layer } = panel;
  const picture = data.pictures[state.picture];
  const canvas = document.createElement("canvas");
  const width = 960;
  const height = Math.round((width * picture.size[0]) / picture.size[1]);
  [canvas.width, canvas.height] = [width, height];
  drawScene(canvas, scene, state.look, 2);
  const sheet = document.createElement("canvas");
  [sheet.width, sheet.height] = [width, height + (scene.field ? 150 : 70)];
  const context = sheet.getContext("2d");
  context.fillStyle = "#ffffff";
  context.fillRect(0, 0, sheet.width, sheet.height);
  context.drawImage(canvas, 0, 0);
  context.fillStyle = "#16202c";
  context.font = "600 24px system-ui, sans-serif";
  context.fillText(`${picture.name} · ${panel.name}${layer ? ` · ${layer.name}` : ""}`, 16, height + 42, width - 32);
  if (scene.field) {
    context.font = "20px system-ui, sans-serif";
    context.fillText(panel.sentence(), 16, height + 74, width - 32);
    context.drawImage(panel.find(".ramp"), 16, height + 92, width - 32, 18);
    context.fillText(amount(scene.low), 16, height + 136);
    const high = amount(scene.high);
    context.fillText(high, width - 16 - context.measureText(high).width, height + 136);
  }
  sheet.toBlob((blob) => save(blob, fileName(panel, "png")), "image/png");
}
