// Decisions and corrections, by mouse, finger and keyboard; kept by the browser until they are saved.

const $ = (name) => document.getElementById(name);
const pictures = data.pictures;
const MOST_STEPS = 40;
const KEY = `${data.format} ${data.folder} ${pictures.map((p) => p.proposal.slice(0, 8)).join("")}`;
const state = {
  row: 0,
  wanted: 0,
  decisions: pictures.map(() => "open"),
  drawn: pictures.map(() => null), // masks that were changed, as addresses
  erases: false,
  bare: false,
  steps: [],
  mask: null,
  image: null,
  cursor: null,
  last: null,
  saved: true,
};

function remember() {
  state.saved = false;
  try {
    localStorage.setItem(KEY, JSON.stringify({ decisions: state.decisions, drawn: state.drawn }));
  } catch {
    // A browser that keeps nothing, or is full: the file is what counts.
  }
}

function recall() {
  try {
    const kept = JSON.parse(localStorage.getItem(KEY) || "null");
    if (kept?.decisions?.length !== pictures.length) return;
    state.decisions = kept.decisions;
    state.drawn = kept.drawn;
    state.saved = state.decisions.every((decision) => decision === "open");
  } catch {
    // As above.
  }
}

async function show(row) {
  if (row < 0 || row >= pictures.length) return;
  const picture = pictures[row];
  state.wanted = row;
  const image = await loadedImage(picture.image);
  const mask = await maskOf(state.drawn[row] || picture.mask, picture.width, picture.height);
  if (state.wanted !== row) return; // another one was asked for meanwhile
  Object.assign(state, { row, image, mask, steps: [], cursor: null, last: null, bare: false });
  fitCanvas(picture);
  tell();
  repaint();
}

function radius() {
  const picture = pictures[state.row];
  return (Math.max(picture.width, picture.height) * (2 + Number($("width").value))) / 800;
}

let waiting = false;
function repaint() {
  if (waiting) return;
  waiting = true;
  requestAnimationFrame(() => {
    waiting = false;
    const cursor = state.cursor && { ...state.cursor, radius: radius(), erases: state.erases };
    paint(pictures[state.row], { image: state.image, mask: state.mask, bare: state.bare, cursor });
  });
}

function tell() {
  const picture = pictures[state.row];
  const decided = state.decisions.filter((decision) => decision !== "open").length;
  $("class").textContent = picture.class;
  $("position").textContent = `${state.row + 1} of ${pictures.length}:`;
  $("name").textContent = `${picture.name}${picture.by ? `, proposed by ${picture.by}` : ""}`;
  $("progress").textContent = `${decided} of ${pictures.length} decided`;
  $("filled").style.width = `${(100 * decided) / pictures.length}%`;
  $("brush").setAttribute("aria-pressed", String(!state.erases));
  $("eraser").setAttribute("aria-pressed", String(state.erases));
  $("bare").setAttribute("aria-pressed", String(state.bare));
  $("undo").disabled = !state.steps.length;
  $("again").disabled = !state.drawn[state.row];
  $("back").disabled = state.row === 0;
  $("forward").disabled = state.row === pictures.length - 1;
  // A browser may give no keys to a button that was pressed and can do no more.
  if (document.activeElement?.disabled) document.activeElement.blur();
  $("done").hidden = decided < pictures.length;
  for (const [row, button] of [...$("strip").children].entries()) {
    button.toggleAttribute("data-decision", state.decisions[row] !== "open");
    if (state.decisions[row] !== "open") button.dataset.decision = state.decisions[row];
    button.setAttribute("aria-current", String(row === state.row));
    button.setAttribute("aria-label", `${pictures[row].name}: ${state.decisions[row]}`);
  }
  const strip = $("strip"); // moved alone: the page stays where it is
  const own = strip.children[state.row];
  strip.scrollLeft = own.offsetLeft - (strip.clientWidth - own.clientWidth) / 2;
}

function decide(decision) {
  state.decisions[state.row] = decision;
  remember();
  const after = [...state.decisions.keys()].map((step) => (state.row + 1 + step) % pictures.length);
  const next = after.find((row) => state.decisions[row] === "open");
  if (next === undefined) {
    tell();
    $("save").focus();
  } else show(next);
}

function keepDrawn() {
  const picture = pictures[state.row];
  state.drawn[state.row] = addressOf(state.mask, picture.width, picture.height);
  remember();
  tell();
  repaint();
}

function undo() {
  if (!state.steps.length) return;
  state.mask = state.steps.pop();
  keepDrawn();
}

async function startOver() {
  const row = state.row;
  const picture = pictures[row];
  const mask = await maskOf(picture.mask, picture.width, picture.height);
  state.drawn[row] = null;
  remember();
  if (state.row === row) {
    state.steps.push(state.mask);
    state.mask = mask;
  }
  tell();
  repaint();
}

function choose(erases) {
  Object.assign(state, { erases, bare: false });
  tell();
  repaint();
}

function hide() {
  state.bare = !state.bare;
  tell();
  repaint();
}

function widen(step) {
  $("width").value = Number($("width").value) + step;
  repaint();
}

function save() {
  const masks = pictures.map((picture, row) => ({
    picture: picture.name,
    decision: state.decisions[row],
    proposal: picture.proposal,
    mask: state.drawn[row],
  }));
  const text = JSON.stringify({ format: data.format, folder: data.folder, masks });
  const address = URL.createObjectURL(new Blob([text], { type: "application/json" }));
  const link = Object.assign(document.createElement("a"), { href: address, download: data.saved });
  link.click();
  setTimeout(() => URL.revokeObjectURL(address), 10_000);
  state.saved = true;
}

function draws(event) {
  const picture = pictures[state.row];
  const point = pointOf(event, picture);
  const erases = state.erases !== ((event.buttons & 2) !== 0 || event.shiftKey);
  stroke(state.mask, picture.width, picture.height, state.last || point, point, radius(), erases ? 0 : 1);
  state.last = point;
}

canvas.addEventListener("pointerdown", (event) => {
  if (event.button > 2 || event.button === 1) return;
  event.preventDefault();
  canvas.setPointerCapture(event.pointerId);
  state.steps.push(state.mask.slice());
  if (state.steps.length > MOST_STEPS) state.steps.shift();
  state.bare = false;
  state.last = null;
  draws(event);
  repaint();
});
canvas.addEventListener("pointermove", (event) => {
  state.cursor = pointOf(event, pictures[state.row]);
  if (state.last) for (const part of event.getCoalescedEvents?.() || [event]) draws(part);
  repaint();
});
for (const name of ["pointerup", "pointercancel"]) {
  canvas.addEventListener(name, (event) => {
    if (!state.last) return;
    state.last = null;
    if (event.pointerType !== "mouse") state.cursor = null;
    keepDrawn();
  });
}
canvas.addEventListener("pointerleave", () => {
  state.cursor = null;
  repaint();
});
canvas.addEventListener("contextmenu", (event) => event.preventDefault());

const CLICKS = {
  accept: () => decide("accepted"),
  reject: () => decide("rejected"),
  brush: () => choose(false),
  eraser: () => choose(true),
  undo,
  again: startOver,
  bare: hide,
  back: () => show(state.row - 1),
  forward: () => show(state.row + 1),
  save,
};
for (const [name, act] of Object.entries(CLICKS)) $(name).addEventListener("click", act);
$("width").addEventListener("input", repaint);

const KEYS = {
  enter: CLICKS.accept,
  a: CLICKS.accept,
  n: CLICKS.reject,
  b: CLICKS.brush,
  e: CLICKS.eraser,
  u: undo,
  z: undo,
  h: hide,
  s: save,
  "[": () => widen(-8),
  "]": () => widen(8),
  arrowleft: CLICKS.back,
  arrowright: CLICKS.forward,
};
document.addEventListener("click", (event) => {
  // A button pressed by pointer gives the keys back: Enter accepts and doesn't press it again.
  const button = event.target.closest?.("button");
  if (event.detail && button && button === document.activeElement) button.blur();
});
document.addEventListener("keydown", (event) => {
  const key = event.key.toLowerCase();
  const holds = event.ctrlKey || event.metaKey;
  if (event.altKey || (holds && key !== "z") || event.repeat || !KEYS[key]) return;
  // A button that was reached by keyboard is pressed by Enter, a slider moved by arrows.
  if (key === "enter" && event.target.matches?.("button:focus-visible")) return;
  if (key.startsWith("arrow") && event.target.matches?.("input")) return;
  event.preventDefault();
  if (!state.last) KEYS[key]();
});
window.addEventListener("resize", () => {
  fitCanvas(pictures[state.row]);
  repaint();
});
window.addEventListener("beforeunload", (event) => {
  if (!state.saved) event.preventDefault();
});

for (const [row, picture] of pictures.entries()) {
  const button = document.createElement("button");
  button.type = "button";
  const image = Object.assign(new Image(), { src: picture.image, alt: "", loading: "lazy" });
  button.append(image);
  button.addEventListener("click", () => show(row));
  $("strip").append(button);
}
$("command").textContent = `visattn masks apply ${data.folder} ${data.saved}`;
recall();
show(Math.max(0, state.decisions.indexOf("open"))).then(() => {
  document.documentElement.dataset.ready = "";
});
