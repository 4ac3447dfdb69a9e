// Letters that the browser has no font for: their romanised form, with a note.

// How a letter is drawn, as text that can be compared.
function drawnLetter(letter) {
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = 24;
  const pen = canvas.getContext("2d", { willReadFrequently: true });
  pen.font = '16px system-ui, "Noto Sans", sans-serif';
  pen.fillText(letter, 2, 19);
  return pen.getImageData(0, 0, 24, 24).data.join();
}

// Whether the browser draws the box of letters that it lacks. (One that writes the letter's number
// into its box, as Firefox does, says what a romanised form would say.)
const lacking = (() => {
  const box = new Set(["\u{10FFFD}", "\u{FFFFD}"].map(drawnLetter));
  const known = new Map();
  return (letter) => {
    if (!known.has(letter)) known.set(letter, box.has(drawnLetter(letter)));
    return known.get(letter);
  };
})();

// Put the romanised form in the place of each name that can't be read here.
function romanise() {
  const unread = Object.entries(data.romanised).filter(([name]) => [...name].some(lacking));
  if (!unread.length) return;
  const readable = new Map(unread.map(([name, roman]) => [name, `${roman}*`]));
  const read = (name) => readable.get(name) ?? name;
  data.title = read(data.title);
  data.note = [read(data.note), "* Romanised: there is no font here for these letters."].filter(Boolean).join(" · ");
  data.classes = data.classes?.map(read) ?? null;
  for (const named of [...data.pictures, ...data.models]) named.name = read(named.name);
}
