// One of the two maps: choices, picture, colour bar, figures.

class Panel {
  constructor(place) {
    this.place = place;
    this.letter = "AB"[place];
    this.root = document.getElementById("panel").content.firstElementChild.cloneNode(true);
    this.find = (selector) => this.root.querySelector(selector);
    this.canvas = this.find(".viewer canvas");
    this.viewer = this.find(".viewer");
    this.root.dataset.place = this.letter;
    this.root.setAttribute("aria-label", `Map ${this.letter}`);
    this.find(".tag").textContent = this.letter;
    this.find(".picture").addEventListener("click", () => savePicture(this));
    this.find(".numbers").addEventListener("click", () => saveNumbers(this));
    this.find(".values").addEventListener("toggle", () => fillTable(this));
    this.find(".table").setAttribute("aria-label", `Numbers of map ${this.letter}`);
    for (const [name, heard] of [
      ["model", (value) => this.chooseModel(Number(value))],
      ["layer", (value) => (this.choice.layer = Number(value))],
      ["head", (value) => (this.choice.head = Number(value))],
      ["mode", (value) => (this.choice.mode = value)],
    ]) {
      this.find(`.${name} select`).addEventListener("change", (event) => {
        heard(event.target.value);
        render();
      });
    }
    this.listen();
    this.fillModels();
  }

  get choice() {
    return state.panels[this.place];
  }

  get layer() {
    return data.models[this.choice.model].layers[this.choice.layer] ?? null;
  }

  // From where the layer's attention is shown: what was chosen, if the layer has that.
  get mode() {
    const modes = modesOf(this.layer);
    return modes.includes(this.choice.mode) ? this.choice.mode : modes[0] ?? "query";
  }

  get name() {
    return data.models[this.choice.model].name;
  }

  chooseModel(model) {
    const before = this.layer?.name;
    const same = mapLayers(model).find((i) => data.models[model].layers[i].name === before);
    Object.assign(this.choice, { model, layer: same ?? data.opening.layers[model], head: -1 });
  }

  fillModels() {
    const names = data.models.map((model, i) => element("option", { value: i }, model.name));
    this.find(".model select").replaceChildren(...names);
    this.find(".model").hidden = data.models.length < 2;
  }

  fillLayers() {
    const { layers } = data.models[this.choice.model];
    const options = mapLayers(this.choice.model).map((i) => {
      const inside = meanInside(layers[i]);
      const known = Number.isNaN(inside) ? "" : `, ${percent(inside)} inside`;
      return element("option", { value: i }, layerTitle(layers[i]) + known);
    });
    const heads = headsOf(this.layer, this.mode);
    const mean = element("option", { value: -1 }, "mean");
    const each = Array.from({ length: heads }, (_, i) => element("option", { value: i }, `${i + 1}`));
    this.find(".model select").value = this.choice.model;
    this.find(".layer select").replaceChildren(...options);
    this.find(".layer select").value = this.choice.layer;
    this.find(".head select").replaceChildren(mean, ...each);
    this.find(".head select").value = this.choice.head;
    this.find(".head").hidden = heads < 2;
    const modes = modesOf(this.layer);
    const words = { query: "this place", mean: "all places" };
    const froms = modes.map((mode) => element("option", { value: mode }, words[mode] ?? this.layer.tokens[tokenOf(mode)]));
    this.find(".mode select").replaceChildren(...froms);
    this.find(".mode").hidden = modes.length === 0;
    this.find(".mode select").value = this.mode;
    this.find(".layer").hidden = this.layer === null;
  }

  // Wait for all that the picture needs; afterwards `show` needs no waiting.
  async load() {
    const number = state.picture;
    if (this.choice.head >= headsOf(this.layer, this.mode)) this.choice.head = -1;
    this.fillLayers();
    const [image, mask, values] = await Promise.all([
      imageOf(number),
      maskOf(number),
      this.layer ? layerOn(this.choice.model, this.choice.layer, number) : null,
    ]);
    if (number !== state.picture) return;
    this.loaded = { number, image, mask, values };
    this.sayAnswer();
  }

  // The map at the place that is asked for.
  measure() {
    const { number, image, mask, values } = this.loaded;
    const size = data.pictures[number].size;
    const scene = { number, image, mask, size };
    this.scene = scene;
    if (!values) return;
    scene.grid = values.size;
    const at = query();
    scene.at = at;
    const { mode } = this;
    scene.cell = values.cell(at);
    scene.cellGrid = values.queries;
    scene.asks = Boolean(values.queries) && mode === "query";
    scene.field = values.row(mode, scene.cell.place, this.choice.head);
    const count = size[0] * size[1];
    if (this.full?.length !== count) this.full = new Float64Array(count);
    scene.full = resized(scene.field, scene.grid, size, this.full);
    scene.own = limitsOf(scene.field);
  }

  // Whether the map is that of the cell at a point already.
  asksFrom(at) {
    const { asks, cell } = this.scene ?? {};
    return Boolean(asks) && this.loaded.values.cell(at).place === cell.place;
  }

  show(other) {
    const scene = this.scene;
    const look = state.look;
    if (scene.field) {
      [scene.low, scene.high] = this.limits(other);
      scene.threshold = scene.low + look.threshold * (scene.high - scene.low);
    }
    drawScene(this.canvas, scene, look, devicePixelRatio);
    this.say();
  }

  limits(other) {
    const { own } = this.scene;
    if (state.look.range === "unit") return [0, 1];
    if (state.look.range === "both" && other?.scene?.own) {
      return [Math.min(own[0], other.scene.own[0]), Math.max(own[1], other.scene.own[1])];
    }
    if (state.look.range !== "layer") return own;
    if (this.layer.kind === "pairwise") return this.loaded.values.limits(this.mode, this.choice.head);
    return [Math.min(...this.layer.low), Math.max(...this.layer.high)];
  }

  fit() {
    const [height, width] = data.pictures[state.picture].size;
    this.viewer.style.aspectRatio = `${width} / ${height}`;
    const shown = this.viewer.getBoundingClientRect();
    const scale = Math.min(2, devicePixelRatio || 1);
    const wanted = [Math.round(shown.width * scale), Math.round((shown.width * scale * height) / width)];
    if (wanted[0] && (this.canvas.width !== wanted[0] || this.canvas.height !== wanted[1])) {
      [this.canvas.width, this.canvas.height] = wanted;
    }
  }

  // Everything in words and numbers.
  say() {
    const { scene, layer } = this;
    const present = Boolean(scene.field);
    this.find(".empty").hidden = present;
    for (const part of [".scale", ".scores", ".values", ".numbers"]) this.find(part).hidden = !present;
    this.viewer.setAttribute("aria-label", `Map ${this.letter}: ${this.name}, ${layer?.name ?? "no map"}`);
    if (!present) {
      tell(this.find(".readout"), "");
      this.find(".remark").hidden = true;
      return;
    }
    const nothing = scene.low !== 0 && Math.abs(scene.low) < 0.001 * scene.high;
    tell(this.find(".low"), nothing ? "≈ 0" : amount(scene.low));
    tell(this.find(".high"), amount(scene.high));
    this.paintRamp();
    tell(this.find(".readout"), this.sentence());
    tell(this.find(".remark"), layer?.remark ?? "");
    this.find(".remark").hidden = !layer?.remark;
    if (scene.mask) {
      const found = overlap(scene.full, scene.mask.kinds, scene.threshold);
      const peak = Number.isNaN(found.peak) ? "–" : found.peak === 1 ? "on the object" : found.peak > 0 ? `${percent(found.peak)} on it` : "beside it";
      this.figures(
        ["IoU", fixed(found.iou), found.iou, NaN, `at ${amount(scene.threshold)}`],
        ["Mass inside", Number.isNaN(found.inside) ? "–" : percent(found.inside), found.inside, found.chance, `chance ${percent(found.chance)}`],
        ["Peak", peak, NaN, NaN, ""],
      );
    } else {
      const marked = scene.full.reduce((sum, value) => sum + (value >= scene.threshold), 0);
      this.figures(["Area marked", percent(marked / scene.full.length), marked / scene.full.length, NaN, `at ${amount(scene.threshold)}`]);
    }
    if (this.find(".values").open) fillTable(this);
  }

  // Numbers with their bars: new elements only where there are others than before.
  figures(...rows) {
    const parts = rows.map(([name, , share, chance]) => [name, Number.isNaN(share), Number.isNaN(chance)]).join();
    if (this.parts !== parts) {
      this.parts = parts;
      const made = rows.map(([name, , share, chance]) => {
        const mark = Number.isNaN(chance) ? null : element("b");
        const meter = Number.isNaN(share) ? null : element("span", { class: "meter", "aria-hidden": "true" }, element("i"), mark);
        return element("div", { class: "score" }, element("span", { class: "name" }, name), element("strong"), meter, element("small"));
      });
      this.find(".scores").replaceChildren(...made);
    }
    rows.forEach(([, text, share, chance, more], i) => {
      const score = this.find(".scores").children[i];
      tell(score.querySelector("strong"), text);
      tell(score.querySelector("small"), more);
      score.querySelector("i")?.style.setProperty("--share", share);
      score.querySelector("b")?.style.setProperty("--share", chance);
    });
  }

  sentence() {
    const { scene } = this;
    const [y, x] = [scene.cell.y, scene.cell.x];
    const [, width] = scene.grid;
    if (this.layer.kind !== "pairwise") {
      return `Row ${y + 1}, column ${x + 1}: ${amount(scene.field[y * width + x])}`;
    }
    const best = scene.field.indexOf(Math.max(...scene.field));
    const [row, column] = [Math.floor(best / width) + 1, (best % width) + 1];
    const most = `most at row ${row}, column ${column} (${amount(scene.field[best])})`;
    if (tokenOf(this.mode) !== null) return `${this.layer.tokens[tokenOf(this.mode)]} looks ${most}`;
    if (this.mode === "mean") return `All places together look ${most}`;
    return `From row ${y + 1}, column ${x + 1}: ${most}`;
  }

  sayAnswer() {
    const { answers, asked } = data.models[this.choice.model];
    if (asked.length) {
      this.find(".answer").replaceChildren(`${this.name} was asked about: `, element("strong", {}, asked[state.picture]));
      return;
    }
    const answer = answers[state.picture];
    const best = likeliest(answer);
    const { label } = data.pictures[state.picture];
    const right = label === null ? "" : best.number === label ? "right" : "wrong";
    const words = [
      `${this.name} says `,
      element("strong", {}, className(best.number)),
      ` ${percent(best.share)} `,
    ];
    if (right) words.push(element("span", { class: `mark ${right}` }, right));
    this.find(".answer").replaceChildren(...words);
  }

  paintRamp() {
    const { palette, style } = state.look;
    if (this.ramp === palette + style) return;
    this.ramp = palette + style;
    const steps = Float64Array.from({ length: 256 }, (_, i) => (i + 0.5) / 256);
    const strip = painted(steps, [1, 256], { low: 0, high: 1, palette, style });
    const context = this.find(".ramp").getContext("2d");
    context.fillStyle = "#ffffff";
    context.fillRect(0, 0, 256, 1);
    context.drawImage(strip, 0, 0);
  }

  listen() {
    const placeOf = (event) => {
      const box = this.canvas.getBoundingClientRect();
      const inside = (value) => Math.max(0, Math.min(0.999999, value));
      return {
        y: inside((event.clientY - box.top) / box.height),
        x: inside((event.clientX - box.left) / box.width),
      };
    };
    this.viewer.addEventListener("pointermove", (event) => {
      if (event.pointerType === "touch") state.home = placeOf(event);
      else state.hovered = placeOf(event);
      if (!shownPanels().every((panel) => panel.asksFrom(query()))) refresh();
    });
    this.viewer.addEventListener("pointerleave", () => {
      state.hovered = null;
      refresh();
    });
    this.viewer.addEventListener("click", (event) => {
      state.home = placeOf(event);
      paint();
      render();
    });
    this.viewer.addEventListener("keydown", (event) => this.press(event));
  }

  press(event) {
    const far = event.shiftKey ? 4 : 1;
    const moves = { ArrowUp: [-far, 0], ArrowDown: [far, 0], ArrowLeft: [0, -far], ArrowRight: [0, far] };
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (moves[event.key]) this.move(...moves[event.key]);
    else if (event.key === "Home") choosePicture(state.picture);
    else if (event.key === "PageUp") stepPicture(-1);
    else if (event.key === "PageDown") stepPicture(1);
    else if (event.key === "+" || event.key === "=") setOpacity(state.look.opacity + 0.1);
    else if (event.key === "-") setOpacity(state.look.opacity - 0.1);
    else return;
    event.preventDefault();
    render().then(() => announce(this));
  }

  move(down, right) {
    const { values } = this.loaded;
    if (!values) return;
    state.hovered = null;
    if (values.step) {
      state.home = values.step(state.home, down, right);
      return;
    }
    const [height, width] = values.size;
    const step = (at, by, count) => {
      const cell = Math.floor(at * count) + by * Math.max(1, Math.round(count / 32));
      return (Math.max(0, Math.min(count - 1, cell)) + 0.5) / count;
    };
    state.home = { y: step(state.home.y, down, height), x: step(state.home.x, right, width) };
  }
}
