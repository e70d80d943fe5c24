"use strict";
// The table of utterances. Texts reach the page as textContent only, and only the rows of one page exist.
const rows = JSON.parse(document.getElementById("data").textContent);
let exhibits = null; // sound and pictures are large: they are read when first asked for
const exhibitOf = (row) => (exhibits ??= JSON.parse($("exhibits").textContent))[row.exhibit];
const ROWS = 50;
const $ = (id) => document.getElementById(id);
const state = {key: "errors", down: true, page: 0, found: rows};

// What cannot be seen is shown as such; \p{Cc} are control characters.
const visible = (text) => text.replace(/\p{Cc}/gu, "\uFFFD");

function element(tag, attributes, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) made.setAttribute(name, value);
  for (const child of children) made.append(typeof child === "string" ? visible(child) : child);
  return made;
}

const percent = (value) => (value === null ? "–" : (100 * value).toFixed(1) + " %");
const image = (base64, alt) => element("img", {src: "data:image/png;base64," + base64, alt: visible(alt)});

const KINDS = {S: "substitute", D: "delete", I: "insert", E: "equal"};
const SPOKEN = {S: "substituted: ", D: "deleted: ", I: "inserted: ", E: ""};

// Words are isolated from each other, so that the browser cannot see in which direction the whole runs.
const LEFTWARD = /^[^\p{L}]*[\u0590-\u08FF\uFB1D-\uFDFF\uFE70-\uFEFC\u{10800}-\u{10FFF}\u{1E800}-\u{1EFFF}]/u;

function aligned(row) {
  const direction = LEFTWARD.test(row.reference || row.hypothesis) ? "rtl" : "ltr";
  const cell = element("td", {class: "aligned", dir: direction});
  for (const [kind, reference, hypothesis] of row.edits) {
    const pair = element("span", {class: "pair " + KINDS[kind]});
    if (kind !== "E") pair.append(element("span", {class: "hidden"}, SPOKEN[kind]));
    pair.append(element("span", {dir: "auto"}, reference), element("span", {dir: "auto"}, kind === "E" ? reference : hypothesis));
    if (kind === "E") pair.lastChild.setAttribute("aria-hidden", "true");
    cell.append(pair, " ");
  }
  return cell;
}

const sound = (shown) => "data:audio/mpeg;base64," + shown.sound;
let playing = null;

function play(button, row) {
  const mine = playing && playing.button === button;
  if (playing) { playing.audio.pause(); playing.button.textContent = "▶"; playing = null; }
  if (mine) return;
  const audio = new Audio(sound(exhibitOf(row)));
  const stop = () => { button.textContent = "▶"; if (playing && playing.audio === audio) playing = null; };
  audio.addEventListener("ended", stop);
  audio.play().catch(stop);
  button.textContent = "■";
  playing = {audio, button};
}

function exhibit(row) {
  const left = element("div"), right = element("div");
  const shown = row.exhibit === undefined ? {} : exhibitOf(row);
  if (shown.sound) left.append(element("audio", {controls: "", preload: "metadata", src: sound(shown), "aria-label": "Sound of " + row.name}));
  const facts = element("dl");
  const fact = (name, ...value) => facts.append(element("dt", {}, name), element("dd", {dir: "auto"}, ...value));
  fact("Reference as it is", row.reference);
  fact("Hypothesis as it is", row.hypothesis);
  for (const [key, value] of Object.entries(row.keys)) fact(key, String(value));
  if (row.confidences.length) {
    const words = element("div", {class: "words"});
    row.hypothesis.split(/\s+/).filter(Boolean).forEach((word, number) => {
      const sure = row.confidences[number];
      if (sure === undefined) return;
      words.append(element("span", {}, element("bdi", {}, word), " ",
        element("meter", {min: 0, max: 1, low: 0.5, high: 0.9, optimum: 1, value: sure, "aria-label": "confidence"}),
        " " + percent(sure)));
    });
    fact("Confidence of its words", words);
  }
  left.append(facts);
  if (shown.features) {
    right.append(element("figure", {class: "features"},
      element("div", {class: "picture"}, image(shown.features, `${shown.heading} of ${row.name}, ${row.seconds} seconds`)),
      element("figcaption", {}, `${shown.heading}: time to the right, frequency upwards`)));
  }
  if (shown.attention) {
    const characters = element("ol", {"aria-hidden": "true"});
    for (const character of [...shown.characters, "⏎"]) characters.append(element("li", {}, character === " " ? "␣" : character));
    right.append(element("figure", {class: "attention"},
      element("div", {class: "picture"}, characters, image(shown.attention, "Attention: for each recognized character, from above, the part of the sound that was looked at")),
      element("figcaption", {}, "Attention: where the decoder looked for each character; the last line is the end")));
    const picture = right.querySelector(".attention img");
    picture.style.height = 1.05 * (shown.characters.length + 1) + "rem";
  }
  if (!right.childNodes.length) right.append(element("p", {class: "note"}, "Sound and pictures are in this page for the worst utterances only."));
  const cell = element("td", {colspan: 10}, element("div", {class: "exhibit"}, left, right));
  return element("tr", {class: "more"}, cell);
}

function line(row) {
  const acts = element("td", {class: "act"});
  const more = element("button", {type: "button", "aria-expanded": "false", "aria-label": "More of " + row.name}, "+");
  acts.append(more);
  const made = element("tr", {}, acts,
    element("th", {scope: "row", class: "name"}, element("bdi", {}, row.name)),
    element("td", {class: "name"}, element("bdi", {}, row.speaker || "")),
    element("td", {class: "number"}, String(row.errors)),
    element("td", {class: "number"}, percent(row.wer)),
    element("td", {class: "number"}, percent(row.cer)),
    element("td", {class: "number"}, percent(row.sure)),
    element("td", {class: "number"}, row.seconds === null ? "–" : row.seconds.toFixed(2)),
    element("td", {class: "number"}, String(row.words)),
    aligned(row));
  more.addEventListener("click", () => {
    const open = more.getAttribute("aria-expanded") === "true";
    if (open) made.nextSibling.remove(); else made.after(exhibit(row));
    more.setAttribute("aria-expanded", String(!open));
    more.textContent = open ? "+" : "−";
  });
  if (row.audible) {
    const button = element("button", {type: "button", class: "play", "aria-label": "Play " + row.name}, "▶");
    button.addEventListener("click", () => play(button, row));
    acts.append(" ", button);
  }
  return made;
}

function show() {
  const pages = Math.max(1, Math.ceil(state.found.length / ROWS));
  state.page = Math.min(Math.max(state.page, 0), pages - 1);
  const shown = state.found.slice(state.page * ROWS, (state.page + 1) * ROWS);
  $("rows").replaceChildren(...shown.map(line));
  $("count").textContent = `${state.found.length.toLocaleString("en")} of ${rows.length.toLocaleString("en")} utterances`;
  $("page").textContent = `Page ${state.page + 1} of ${pages}`;
  $("previous").disabled = state.page === 0;
  $("next").disabled = state.page === pages - 1;
}

function searched(row) {
  const texts = [row.name, row.speaker || "", row.reference, row.hypothesis, ...row.edits.flatMap((edit) => edit.slice(1))];
  return (row.searched ??= texts.join(" ").normalize("NFC").toLowerCase());
}

const order = new Intl.Collator(undefined, {numeric: true});

function arrange() {
  const wanted = $("search").value.normalize("NFC").toLowerCase();
  const {key, down} = state;
  state.found = rows.filter((row) =>
    (!wanted || searched(row).includes(wanted))
    && (!$("wrong").checked || row.errors > 0)
    && (!$("exhibited").checked || row.exhibit !== undefined));
  const sign = down ? -1 : 1;
  state.found.sort((a, b) => {
    const [one, other] = [a[key], b[key]];
    if (one === null || other === null) return (one === null) - (other === null); // what is not known is last
    return sign * (typeof one === "string" ? order.compare(one, other) : one - other) || a.place - b.place;
  });
  for (const head of document.querySelectorAll("th[data-key]")) {
    if (head.dataset.key === key) head.setAttribute("aria-sort", down ? "descending" : "ascending");
    else head.removeAttribute("aria-sort");
  }
  state.page = 0;
  show();
}

rows.forEach((row, place) => { row.place = place; });
for (const head of document.querySelectorAll("th[data-key]")) {
  head.firstChild.addEventListener("click", () => {
    const texts = ["name", "speaker"].includes(head.dataset.key);
    state.down = state.key === head.dataset.key ? !state.down : !texts;
    state.key = head.dataset.key;
    arrange();
  });
}
for (const id of ["search", "wrong", "exhibited"]) $(id).addEventListener("input", arrange);
$("previous").addEventListener("click", () => { state.page -= 1; show(); });
$("next").addEventListener("click", () => { state.page += 1; show(); });
arrange();
