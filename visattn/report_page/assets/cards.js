// The sections below the maps: all layers, answers, curves, channel gates.

const shownPanels = () => panels.slice(0, state.compare ? 2 : 1);

// The panels whose models differ: what concerns a model stands there once.
function shownModels() {
  const seen = new Set();
  return shownPanels().filter(({ choice }) => !seen.has(choice.model) && seen.add(choice.model));
}

// Names of layers for narrow places: long ones without the modules in which all of them lie, then
// without the one with which all of them end.
function shortNames(names) {
  const own = names.filter((name) => name.includes("."));
  if (own.length < 2 || Math.max(...own.map((name) => name.length)) <= 14) return names;
  const parts = own.map((name) => name.split(",")[0].split(".").slice(0, -1));
  let shared = 0;
  while (parts.every((part) => part.length > shared && part[shared] === parts[0][shared])) shared++;
  const short = names.map((name) => (name.includes(".") ? name.split(".").slice(shared).join(".") : name));
  const whole = short.filter((_, i) => names[i].includes("."));
  const ends = new Set(whole.map((name) => name.split(".").pop()));
  if (ends.size > 1 || Math.max(...whole.map((name) => name.length)) <= 14) return short;
  return short.map((name, i) => (names[i].includes(".") && name.includes(".") ? name.slice(0, name.lastIndexOf(".")) : name));
}

let glances = 0;

async function fillGlance() {
  const number = state.picture;
  const glance = ++glances;
  const groups = [];
  for (const panel of shownModels()) {
    const { model } = panel.choice;
    const tiles = [];
    const short = shortNames(mapLayers(model).map((i) => data.models[model].layers[i].name));
    for (const [at, i] of mapLayers(model).entries()) {
      const layer = data.models[model].layers[i];
      const shown = element("img", { alt: "" });
      const inside = meanInside(layer);
      const current = shownPanels().some(({ choice }) => choice.model === model && choice.layer === i);
      tiles.push(element(
        "button",
        {
          type: "button", class: "tile", title: layer.name, "aria-pressed": String(current),
          on: { click: () => { panel.choice.layer = i; render(); } },
        },
        shown,
        element("span", { class: "tile-name" }, short[at]),
        element("small", {}, `${KINDS[layer.kind]} ${gridOf(layer).join(" × ")}`),
        Number.isNaN(inside) ? null : element("small", {}, `${percent(inside)} inside`),
      ));
      await paintTile(shown, model, i, number, panel.choice.mode);
      await new Promise((done) => setTimeout(done)); // a hover comes first
      if (glance !== glances) return;
    }
    if (!tiles.length) continue;
    const heading = data.models.length > 1 ? element("h3", {}, data.models[model].name) : null;
    groups.push(element("div", { class: "glance-group" }, heading ?? "", element("div", { class: "tiles" }, ...tiles)));
  }
  document.getElementById("glance").hidden = groups.length === 0;
  document.getElementById("glance-body").replaceChildren(...groups);
}

// What was drawn, as a picture in an element: each canvas on the page would be handed over anew in
// every frame of a hover.
function handOver(canvas, shown) {
  [shown.width, shown.height] = [canvas.width, canvas.height];
  shown.src = canvas.toDataURL("image/jpeg", 0.9);
}

// A layer from where `chosen` says, if it has that.
async function paintTile(shown, model, place, number, chosen) {
  const [image, values] = await Promise.all([imageOf(number), layerOn(model, place, number)]);
  const size = data.pictures[number].size;
  const canvas = element("canvas", { width: 160, height: Math.round((160 * size[0]) / size[1]) });
  const layer = data.models[model].layers[place];
  const modes = modesOf(layer);
  const mode = modes.includes(chosen) ? chosen : modes[0];
  const field = values.row(mode ?? "query", values.cell(state.home).place, -1);
  const [low, high] = limitsOf(field);
  const full = resized(field, values.size, size);
  const scene = { number, image, size, field, full, grid: values.size, low, high };
  drawScene(canvas, scene, { ...state.look, region: false, outline: false });
  handOver(canvas, shown);
}

async function fillAnswers() {
  const number = state.picture;
  const picture = data.pictures[number];
  const image = await imageOf(number);
  const mask = await maskOf(number);
  const kinds = mask ? ["whole", "object", "background"] : ["whole"];
  const heads = { whole: "Picture", object: "Object alone", background: "Background alone" };
  const rest = picture.background ? await loaded(`rest ${number}`, picture.background) : null;
  const answering = shownModels().filter(({ choice }) => data.models[choice.model].answers.length);
  document.getElementById("answers").hidden = !answering.length;
  const parts = answering.map((panel) => {
    const answer = data.models[panel.choice.model].answers[number];
    const likely = (i) => Math.max(...kinds.map((kind) => answer[kind][i]));
    const rows = answer.classes.map((_, i) => i).sort((a, b) => likely(b) - likely(a)).slice(0, 5);
    const own = answer.classes.indexOf(picture.label);
    if (own >= 0 && !rows.includes(own)) rows.splice(4, 1, own);
    rows.sort((a, b) => answer.whole[b] - answer.whole[a]);
    const head = kinds.map((kind) => element("th", { scope: "col" }, thumbnail(kind, image, mask, rest, picture.size), heads[kind]));
    const body = rows.map((i) => {
      const truth = answer.classes[i] === picture.label;
      const name = element("th", { scope: "row" }, className(answer.classes[i]), truth ? element("small", { class: "truth" }, " true") : null);
      const cells = kinds.map((kind) => element(
        "td",
        {},
        element("span", { class: "bar-number" }, percent(answer[kind][i])),
        element("span", { class: "bar", "aria-hidden": "true" }, element("i", { share: answer[kind][i] })),
      ));
      return element("tr", {}, name, ...cells);
    });
    return element(
      "div",
      { class: "answers-of", "data-place": panel.letter },
      element("h3", {}, data.models.length > 1 ? panel.name : "", element("span", { class: "verdict" }, verdict(answer))),
      element(
        "table",
        { class: "answer-table" },
        element("caption", { class: "unseen" }, `Probabilities of ${panel.name}`),
        element("thead", {}, element("tr", {}, element("th", { scope: "col" }, "Class"), ...head)),
        element("tbody", {}, ...body),
      ),
    );
  });
  if (number === state.picture) document.getElementById("answers-body").replaceChildren(...parts);
}

// How often each model is right, over all pictures that have a class.
function fillTotals() {
  const labelled = data.pictures.flatMap((picture, i) => (picture.label === null ? [] : [i]));
  const masked = labelled.filter((i) => data.pictures[i].mask);
  const kinds = masked.length ? ["whole", "object", "background"] : ["whole"];
  const heads = ["Picture", "Object alone", "Background alone"];
  const rows = data.models.map((model, k) => element(
    "tr",
    {},
    element("th", { scope: "row" }, model.name),
    ...kinds.map((kind) => {
      const among = kind === "whole" ? labelled : masked;
      const count = among.filter((i) => right(k, i, kind)).length;
      return element("td", {}, element("strong", {}, `${count}`), ` of ${among.length}`);
    }),
  ));
  const table = element(
    "table",
    { class: "answer-table" },
    element("caption", { class: "unseen" }, "Right answers of each model"),
    element("thead", {}, element("tr", {}, element("th", { scope: "col" }, "Model"), ...kinds.map((_, i) => element("th", { scope: "col" }, heads[i])))),
    element("tbody", {}, ...rows),
  );
  const totals = document.getElementById("totals");
  totals.hidden = !labelled.length;
  totals.replaceChildren(element("h3", {}, "Right answers on all pictures"), table);
}

function thumbnail(kind, image, mask, rest, [height, width]) {
  const canvas = element("canvas", { width: 112, height: Math.round((112 * height) / width) });
  const context = canvas.getContext("2d");
  context.imageSmoothingQuality = "high";
  context.drawImage(kind === "background" && rest ? rest : image, 0, 0, canvas.width, canvas.height);
  if (kind === "object") {
    const hole = document.createElement("canvas");
    [hole.width, hole.height] = [width, height];
    const pixels = hole.getContext("2d").createImageData(width, height);
    mask.soft.forEach((share, i) => (pixels.data[4 * i + 3] = 255 * (1 - share)));
    hole.getContext("2d").putImageData(pixels, 0, 0);
    context.drawImage(hole, 0, 0, canvas.width, canvas.height);
  }
  const shown = element("img", { class: "thumbnail", alt: "" });
  handOver(canvas, shown);
  return shown;
}

// What the three answers mean, in a sentence.
function verdict(answer) {
  if (!answer.object) return "";
  const [whole, thing, rest] = ["whole", "object", "background"].map((kind) => likeliest(answer, kind));
  if (rest.number === whole.number && rest.share >= 0.5) {
    return `Says ${className(whole.number)} to the background alone as well: it reads the background.`;
  }
  if (thing.number === whole.number) {
    const also = rest.number === whole.number ? `, and unsurely (${percent(rest.share)}) to the background alone` : ", and not to the background alone";
    return `Says ${className(whole.number)} to the object alone${also}.`;
  }
  return `Says ${className(thing.number)} to the object alone: its answer depends on the background.`;
}

function fillCurves() {
  const number = state.picture;
  const found = shownPanels().filter((panel) => panel.layer?.curves?.deletion);
  document.getElementById("curves").hidden = !data.models.some((model) => model.layers.some((layer) => layer.curves?.deletion));
  const body = document.getElementById("curves-body");
  if (!found.length) {
    const asked = shownPanels().every(({ choice }) => data.models[choice.model].asked.length);
    const why = asked
      ? "Not computed for what a segmentation or a detector was asked about: visattn evaluate-maps follows that."
      : "Attention from a place has no order of pixels of its own. Choose a map.";
    body.replaceChildren(element("p", { class: "nothing" }, why));
    return;
  }
  body.replaceChildren(...["deletion", "insertion"].map((kind) => chart(kind, found, number)));
}

function chart(kind, found, number) {
  const [width, height] = [300, 190];
  const box = { left: 34, right: 292, top: 10, bottom: 156 };
  const x = (share) => box.left + share * (box.right - box.left);
  const y = (share) => box.bottom - share * (box.bottom - box.top);
  const marks = [0, 0.5, 1].flatMap((at) => [
    drawn("line", { class: "grid", x1: box.left, x2: box.right, y1: y(at), y2: y(at) }),
    drawn("text", { x: box.left - 6, y: y(at) + 3.5, "text-anchor": "end" }, at ? String(at) : "0"),
    drawn("text", { x: x(at), y: box.bottom + 15, "text-anchor": at === 1 ? "end" : "middle" }, `${100 * at} %`),
  ]);
  const words = kind === "deletion" ? "pixels taken away" : "pixels brought back";
  const names = [];
  const lines = found.flatMap((panel) => {
    const { fractions, values, areas } = panel.layer.curves[kind];
    const points = fractions.map((at, i) => `${x(at).toFixed(1)},${y(values[number][i]).toFixed(1)}`);
    names.push([panel, areas[number]]);
    const area = `${x(0)},${y(0)} ${points.join(" ")} ${x(1)},${y(0)}`;
    return [
      drawn("polygon", { class: `under ${panel.letter}`, points: area }),
      drawn("polyline", { class: `line ${panel.letter}`, points: points.join(" ") }),
    ];
  });
  const { baseline } = found[0].layer.curves[kind];
  const described = names.map(([panel, area]) => `${panel.letter} ${area.toFixed(2)}`).join(", ");
  return element(
    "figure",
    { class: "chart" },
    element("figcaption", {}, kind === "deletion" ? "Deletion" : "Insertion", element("small", {}, `${kind === "deletion" ? "lower" : "higher"} is better; baseline: ${baseline}`)),
    drawn(
      "svg",
      { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": `${kind}, area under the curve: ${described}` },
      ...marks,
      drawn("text", { x: (box.left + box.right) / 2, y: height - 4, "text-anchor": "middle" }, words),
      ...lines,
    ),
    element("ul", { class: "legend" }, ...names.map(([panel, area]) => element(
      "li",
      {},
      element("i", { class: `swatch ${panel.letter}` }),
      `${panel.name}, ${panel.layer.name}: area `,
      element("strong", {}, area.toFixed(3)),
    ))),
  );
}

async function fillChannels() {
  const number = state.picture;
  const any = data.models.some((_, model) => channelLayers(model).length);
  document.getElementById("channels").hidden = !any;
  if (!any) return;
  const parts = [];
  for (const panel of shownModels()) parts.push(await channelPart(panel, number));
  if (number === state.picture) document.getElementById("channels-body").replaceChildren(...parts);
}

async function channelPart(panel, number) {
  const { model } = panel.choice;
  const own = channelLayers(model);
  const title = data.models.length > 1 ? element("h3", {}, panel.name) : "";
  if (!own.length) return element("div", { class: "gates" }, title, element("p", { class: "nothing" }, "No channel gates."));
  const place = own.includes(panel.choice.gate) ? panel.choice.gate : own[own.length - 1];
  const layer = data.models[model].layers[place];
  const gates = (await layerOn(model, place, number)).row();
  const mean = restored(new Uint8Array(await inflated(layer.mean.values[0])), layer.mean.low[0], layer.mean.high[0]);
  const order = Array.from(gates.keys());
  if (state.ordered) order.sort((a, b) => gates[b] - gates[a]);
  const top = Math.max(1, ...gates);
  const level = (value) => (100 * (1 - value / top)).toFixed(2);
  const bars = order.map((channel, i) => `M${i + 0.5} 100V${level(gates[channel])}`).join("");
  const line = order.map((channel, i) => `${i ? "" : "M0 " + level(mean[channel])}L${i} ${level(mean[channel])}L${i + 1} ${level(mean[channel])}`).join("");
  const marker = drawn("path", { class: "chosen" });
  const readout = element("output", { class: "gate-readout" });
  const slider = element("input", { type: "range", min: 0, max: gates.length - 1, step: 1, value: Math.min(state.channel, gates.length - 1) });
  const point = () => {
    const at = Number(slider.value);
    const channel = order[at];
    marker.setAttribute("d", `M${at + 0.5} 0V100`);
    readout.textContent = `channel ${channel}: ${amount(gates[channel])}, mean over pictures ${amount(mean[channel])}`;
    state.channel = at;
  };
  slider.addEventListener("input", point);
  const picture = drawn(
    "svg",
    { class: "bars", viewBox: `0 0 ${gates.length} 100`, preserveAspectRatio: "none", role: "img", "aria-label": `Gates of ${layer.name}` },
    drawn("path", { class: `gate ${panel.letter}`, d: bars, "stroke-width": gates.length > 128 ? 1.02 : 0.8 }),
    drawn("path", { class: "mean", d: line }),
    marker,
  );
  picture.addEventListener("pointermove", (event) => {
    const area = picture.getBoundingClientRect();
    slider.value = Math.floor(((event.clientX - area.left) / area.width) * gates.length);
    point();
  });
  const select = element("select", {}, ...own.map((i) => element("option", { value: i, selected: i === place }, `${data.models[model].layers[i].name} · ${data.models[model].layers[i].size[0]} channels`)));
  select.addEventListener("change", () => { panel.choice.gate = Number(select.value); fillChannels(); });
  const ordered = element("input", { type: "checkbox", checked: state.ordered });
  ordered.addEventListener("change", () => { state.ordered = ordered.checked; fillChannels(); });
  const [low, high] = limitsOf(gates);
  const part = element(
    "div",
    { class: "gates" },
    title,
    element("div", { class: "gate-tools" }, element("label", { class: "choice" }, "Layer ", select), element("label", { class: "switch" }, ordered, element("span", {}, "Highest first"))),
    element("div", { class: "gate-chart" }, element("div", { class: "gate-axis", "aria-hidden": "true" }, element("span", {}, amount(top)), element("span", {}, "0")), picture),
    element("label", { class: "slider" }, "Channel ", slider),
    readout,
    element("p", { class: "nothing" }, `${gates.length} gates from ${amount(low)} to ${amount(high)}`),
  );
  point();
  return part;
}
