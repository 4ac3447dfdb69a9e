// What is chosen, and words for it.

const MAPS = new Set(["spatial", "gate", "cam", "asked", "pairwise"]);

const state = {
  picture: data.opening.picture,
  home: { y: 0.5, x: 0.5 },
  hovered: null,
  compare: false,
  look: {
    opacity: 0.7,
    threshold: 0.5,
    style: "fading",
    range: "own",
    palette: Object.keys(data.colours)[0],
    smooth: true,
    outline: true,
    region: true,
  },
  panels: [],
  channel: 0,
  ordered: true,
};

const query = () => state.hovered ?? state.home;

function mapLayers(model) {
  return data.models[model].layers.flatMap((layer, i) => (MAPS.has(layer.kind) ? [i] : []));
}

function channelLayers(model) {
  return data.models[model].layers.flatMap((layer, i) => (layer.kind === "channel" ? [i] : []));
}

function startPanels() {
  const first = { model: 0, layer: data.opening.layers[0], head: -1, mode: "query" };
  let second = { ...first };
  if (data.models.length > 1) {
    second = { ...first, model: 1, layer: data.opening.layers[1] };
    state.compare = true;
  } else {
    const others = mapLayers(0).filter((layer) => layer !== first.layer);
    second.layer = others.length ? others[others.length - 1] : first.layer;
  }
  state.panels = [first, second];
  const [y, x] = data.pictures[state.picture].focus;
  state.home = { y, x };
}

function choosePicture(number) {
  state.picture = number;
  const [y, x] = data.pictures[number].focus;
  state.home = { y, x };
  state.hovered = null;
}

// Elements with their properties and children; every text is set as text.
function element(name, properties = {}, ...children) {
  const made = document.createElement(name);
  return dressed(made, properties, children);
}

function drawn(name, properties = {}, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  return dressed(made, properties, children);
}

function dressed(made, properties, children) {
  for (const [key, value] of Object.entries(properties)) {
    if (key === "on") for (const [type, heard] of Object.entries(value)) made.addEventListener(type, heard);
    else if (key === "share") made.style.setProperty("--share", value);
    else if (value !== null && value !== false) made.setAttribute(key, value === true ? "" : value);
  }
  made.append(...children.filter((child) => child !== null));
  return made;
}

// Set a text that differs: the same one set again would be laid out again.
function tell(where, text) {
  if (where.textContent !== text) where.textContent = text;
}

const className = (number) => data.classes?.[number] ?? `class ${number}`;
const percent = (share) => `${(100 * share).toFixed(share > 0.0995 && share < 0.9995 ? 0 : 1)} %`;
const fixed = (value, digits = 2) => (Number.isNaN(value) ? "–" : value.toFixed(digits));

function amount(value) {
  if (value === 0) return "0";
  const size = Math.abs(value);
  return size >= 0.001 && size < 10000 ? String(Number(value.toPrecision(3))) : value.toExponential(1);
}

const KINDS = { spatial: "map", gate: "mean gate", cam: "gradients", asked: "region", pairwise: "attention" };

// The grid of a layer's map: that of the places that ask, or, where only tokens do, of those asked.
const gridOf = (layer) => (layer.kind === "pairwise" && !layer.size[0] ? layer.keys : layer.size);

function layerTitle(layer) {
  const [height, width] = gridOf(layer);
  return `${layer.name} · ${KINDS[layer.kind] ?? ""} ${height} × ${width}`;
}

function meanInside(layer) {
  const known = (layer.inside ?? []).filter((value) => value !== null);
  return known.length ? known.reduce((a, b) => a + b, 0) / known.length : NaN;
}

// The likeliest class of an answer, and its share; `kind` is whole, object or background.
function likeliest(answer, kind = "whole") {
  const shares = answer?.[kind];
  if (!shares) return null;
  const at = shares.indexOf(Math.max(...shares));
  return { number: answer.classes[at], share: shares[at] };
}
