// Putting it together: the film strip, the controls, and drawing when something changes.

const byId = (name) => document.getElementById(name);
let panels = [];
let waiting = false;
let outgrown = false;

// Draw the maps anew; what they need is there, and the canvases are as large as they shall be.
function paint() {
  const shown = shownPanels().filter((panel) => panel.loaded);
  for (const panel of shown) panel.measure();
  shown.forEach((panel, i) => panel.show(shown[1 - i]));
}

function fit() {
  outgrown = false;
  for (const panel of shownPanels()) if (panel.loaded) panel.fit();
}

function refresh() {
  if (waiting) return;
  waiting = true;
  requestAnimationFrame(() => {
    waiting = false;
    if (outgrown) fit();
    paint();
  });
}

// Load what is chosen, and draw everything.
async function render() {
  const picture = data.pictures[state.picture];
  byId("picture-name").textContent = picture.name;
  byId("picture-label").textContent = picture.label === null ? "" : `true class: ${className(picture.label)}`;
  byId("position").textContent = `${state.picture + 1} of ${data.pictures.length}`;
  document.querySelector(`#strip input[value="${state.picture}"]`).checked = true;
  byId("compare").checked = state.compare;
  byId("panels").classList.toggle("pair", state.compare);
  panels[1].root.hidden = !state.compare;
  for (const option of byId("range").options) if (option.value === "both") option.disabled = !state.compare;
  await Promise.all(shownPanels().map((panel) => panel.load()));
  fit();
  paint();
  await Promise.all([fillGlance(), fillAnswers(), fillCurves(), fillChannels()]);
}

function announce(panel) {
  const { scene } = panel;
  const mask = scene.field && scene.mask ? overlap(scene.full, scene.mask.kinds, scene.threshold) : null;
  const inside = mask ? ` ${percent(mask.inside)} of the map lies on the object.` : "";
  byId("live").textContent = `${byId("picture-name").textContent}. ${panel.find(".readout").textContent}.${inside}`;
}

function right(model, number, kind = "whole") {
  const best = likeliest(data.models[model].answers[number], kind);
  return best && best.number === data.pictures[number].label;
}

const FILTERS = {
  all: ["all", () => true],
  wrong: ["with a wrong answer", (i) => data.pictures[i].label !== null && data.models.some((_, model) => !right(model, i))],
  differ: ["where models differ", (i) => new Set(data.models.map((model) => likeliest(model.answers[i])?.number)).size > 1],
  fooled: ["right by the background alone", (i) => data.pictures[i].label !== null && data.models.some((_, model) => right(model, i, "background"))],
};

const inStrip = () => data.pictures.map((_, i) => i).filter((i) => FILTERS[byId("filter").value][1](i));

function stepPicture(by) {
  const shown = inStrip();
  const at = shown.indexOf(state.picture);
  const next = at < 0 ? 0 : (at + by + shown.length) % shown.length;
  choosePicture(shown[next]);
}

function fillStrip() {
  const frames = data.pictures.map((picture, i) => {
    const input = element("input", { type: "radio", name: "picture", value: i, on: { change: () => { choosePicture(i); render(); } } });
    const marks = data.models.map((model, k) => {
      if (picture.label === null) return null;
      const good = right(k, i);
      return element("span", { class: `dot ${good ? "right" : "wrong"}`, title: `${model.name} is ${good ? "right" : "wrong"}` }, good ? "✓" : "✗");
    });
    const words = data.models.map((model, k) => (picture.label === null ? "" : `, ${model.name} ${right(k, i) ? "right" : "wrong"}`));
    const image = element("img", { src: picture.src, alt: "", width: 84, height: 84, decoding: "async", loading: "lazy" });
    return element(
      "label",
      { class: "frame-of", "data-picture": i, title: picture.name },
      input,
      image,
      element("span", { class: "marks", "aria-hidden": "true" }, ...marks),
      element("span", { class: "unseen" }, picture.name + words.join("")),
    );
  });
  byId("strip").replaceChildren(...frames);
  const marked = data.pictures.some((picture) => picture.label !== null);
  byId("marks").hidden = !marked;
  byId("marks").textContent = `✓ right, ✗ wrong: ${data.models.map((model) => model.name).join(", ")}`;
}

function fillFilter() {
  const options = Object.entries(FILTERS).map(([key, [words, fits]]) => {
    const count = data.pictures.filter((_, i) => fits(i)).length;
    return key === "all" || (count && count < data.pictures.length) ? element("option", { value: key }, `${words} (${count})`) : null;
  });
  byId("filter").replaceChildren(...options.filter(Boolean));
  byId("filter").addEventListener("change", () => {
    const shown = new Set(inStrip());
    for (const frame of document.querySelectorAll(".frame-of")) frame.hidden = !shown.has(Number(frame.dataset.picture));
    if (!shown.has(state.picture)) choosePicture([...shown][0]);
    render();
  });
}

function setOpacity(share) {
  state.look.opacity = Math.max(0, Math.min(1, share));
  byId("opacity").value = Math.round(100 * state.look.opacity);
  byId("opacity-value").textContent = `${byId("opacity").value} %`;
}

function setThreshold(share) {
  state.look.threshold = share;
  byId("threshold").value = Math.round(100 * share);
  byId("threshold-value").textContent = `${byId("threshold").value} %`;
}

function listen() {
  byId("opacity").addEventListener("input", (event) => { setOpacity(event.target.value / 100); refresh(); });
  byId("threshold").addEventListener("input", (event) => { setThreshold(event.target.value / 100); refresh(); });
  for (const name of ["style", "range", "palette"]) {
    byId(name).value = state.look[name];
    byId(name).addEventListener("change", (event) => { state.look[name] = event.target.value; render(); });
  }
  for (const name of ["smooth", "outline", "region"]) {
    byId(name).checked = state.look[name];
    byId(name).addEventListener("change", (event) => { state.look[name] = event.target.checked; refresh(); });
  }
  byId("compare").addEventListener("change", (event) => {
    state.compare = event.target.checked;
    if (!state.compare && state.look.range === "both") byId("range").value = state.look.range = "own";
    render();
  });
  byId("previous").addEventListener("click", () => { stepPicture(-1); render(); });
  byId("next").addEventListener("click", () => { stepPicture(1); render(); });
  byId("theme").addEventListener("change", (event) => (document.documentElement.dataset.theme = event.target.value));
  byId("help-open").addEventListener("click", () => byId("help").showModal());
  byId("help-close").addEventListener("click", () => byId("help").close());
  new ResizeObserver(() => { outgrown = true; refresh(); }).observe(byId("panels"));
}

async function start() {
  romanise();
  byId("title").textContent = data.title;
  byId("note").textContent = data.note;
  byId("palette").replaceChildren(...Object.keys(data.colours).map((name) => element("option", { value: name }, name)));
  startPanels();
  panels = [0, 1].map((place) => new Panel(place));
  byId("panels").replaceChildren(...panels.map((panel) => panel.root));
  fillStrip();
  fillFilter();
  fillTotals();
  setOpacity(state.look.opacity);
  setThreshold(state.look.threshold);
  listen();
  await render();
  const chosen = document.querySelector(`#strip [data-picture="${state.picture}"]`);
  const strip = byId("strip");
  strip.scrollTo(chosen.offsetLeft - strip.clientWidth / 2, chosen.offsetTop - strip.clientHeight / 2);
  await warmUp();
  document.documentElement.dataset.ready = "true";
}

// The first drawings take long, until the browser has compiled what draws: they shall be no hover's.
async function warmUp() {
  for (let i = 0; i < 5; i++) {
    paint();
    await new Promise((done) => setTimeout(done));
  }
}

start();
