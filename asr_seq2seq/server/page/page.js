"use strict";
const find = (id) => document.getElementById(id);
const UNSURE = 0.7;
let segments = []; // {start, end, text, words: [{word, start, end, probability}]}
let source = null; // the address of the sound in this page
let live = null;
let stopAt = null;

function say(text) { find("status").textContent = text; }

function reset() {
  segments = [];
  find("words").replaceChildren();
  find("open").textContent = "";
  find("downloads").hidden = true;
}

function hold(blob) {
  if (source) URL.revokeObjectURL(source);
  source = URL.createObjectURL(blob);
  find("player").src = source;
  find("player").hidden = false;
}

function show(segment) { // text from elsewhere is only ever set as text
  segments.push(segment);
  for (const word of segment.words) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = word.word;
    const percent = word.probability === null ? null : Math.round(100 * word.probability);
    if (percent !== null) button.title = `${percent} % certain`;
    if (word.probability !== null && word.probability < UNSURE) button.className = "unsure";
    button.addEventListener("click", () => play(word, button));
    find("words").append(button, " ");
  }
  find("downloads").hidden = false;
}

function play(word, button) {
  if (!source || word.start === null) return;
  for (const other of document.querySelectorAll("#words [aria-current]")) other.removeAttribute("aria-current");
  button.setAttribute("aria-current", "true");
  const player = find("player");
  player.currentTime = Math.max(0, word.start - 0.1);
  stopAt = word.end + 0.1;
  player.play().catch(() => say("The browser cannot play this sound."));
}

find("player").addEventListener("timeupdate", () => {
  if (stopAt !== null && find("player").currentTime >= stopAt) { find("player").pause(); stopAt = null; }
});

async function transcribe(file) {
  stopMicrophone();
  reset();
  hold(file);
  say("Transcribing...");
  const form = new FormData();
  form.append("file", file);
  form.append("response_format", "verbose_json");
  form.append("timestamp_granularities[]", "segment");
  form.append("timestamp_granularities[]", "word");
  const key = find("key").value;
  try {
    const headers = key ? { Authorization: `Bearer ${key}` } : {};
    const answer = await fetch("v1/audio/transcriptions", { method: "POST", body: form, headers });
    const data = await answer.json();
    if (!answer.ok) { say(`Error: ${data.error.message}`); return; }
    let next = 0;
    for (const one of data.segments) { // words come in the order of the segments' texts
      const count = one.text.split(/\s+/u).filter(Boolean).length;
      show({ start: one.start, end: one.end, text: one.text, words: data.words.slice(next, next + count) });
      next += count;
    }
    say(data.words.length ? "Done." : "No speech was found.");
  } catch {
    say("Error: the server does not answer.");
  }
}


function wav(blocks, rate) {
  const size = 2 * blocks.reduce((sum, block) => sum + block.length, 0);
  const head = new DataView(new ArrayBuffer(44));
  const write = (at, text) => [...text].forEach((c, n) => head.setUint8(at + n, c.charCodeAt(0)));
  write(0, "RIFF"); head.setUint32(4, 36 + size, true); write(8, "WAVEfmt "); head.setUint32(16, 16, true);
  head.setUint16(20, 1, true); head.setUint16(22, 1, true); head.setUint32(24, rate, true);
  head.setUint32(28, 2 * rate, true); head.setUint16(32, 2, true); head.setUint16(34, 16, true);
  write(36, "data"); head.setUint32(40, size, true);
  return new Blob([head, ...blocks], { type: "audio/wav" });
}

function receive(event) {
  const transcription = "conversation.item.input_audio_transcription";
  if (event.type === "asr.partial") find("open").textContent = event.text;
  if (event.type === `${transcription}.completed`) {
    find("open").textContent = "";
    show({ start: event.words[0]?.start ?? 0, end: event.words.at(-1)?.end ?? 0, text: event.transcript,
      words: event.words });
  }
  if (event.type === "error") say(`Error: ${event.error.message}`);
}

async function startMicrophone() {
  let media;
  try {
    media = await navigator.mediaDevices.getUserMedia({ audio: true });
  } catch {
    say("Error: the microphone cannot be used. Allow it in the browser.");
    return;
  }
  reset();
  const context = new AudioContext();
  await context.audioWorklet.addModule("worklet.js");
  const key = find("key").value;
  const address = new URL("v1/realtime?intent=transcription", location.href);
  address.protocol = location.protocol === "https:" ? "wss:" : "ws:";
  const socket = new WebSocket(address, key ? ["realtime", `openai-insecure-api-key.${key}`] : ["realtime"]);
  const rate = context.sampleRate;
  live = { media, context, socket, blocks: [], rate };
  socket.addEventListener("message", (message) => receive(JSON.parse(message.data)));
  socket.addEventListener("close", () => { if (live && live.socket === socket) stopMicrophone("The connection has ended."); });
  socket.addEventListener("open", () => {
    const input = { format: { type: "audio/pcm", rate }, turn_detection: { type: "server_vad" } };
    socket.send(JSON.stringify({ type: "session.update", session: { type: "transcription", audio: { input } } }));
    const node = new AudioWorkletNode(context, "samples");
    const state = live;
    node.port.onmessage = ({ data }) => {
      if (live !== state) return;
      const samples = Int16Array.from(data, (x) => Math.max(-32768, Math.min(32767, Math.round(32768 * x))));
      state.blocks.push(samples);
      socket.send(samples.buffer);
    };
    context.createMediaStreamSource(media).connect(node);
    say("Listening.");
  });
  find("microphone").textContent = "Stop the microphone";
  find("microphone").setAttribute("aria-pressed", "true");
}

function stopMicrophone(why = "Stopped.") {
  if (!live) return;
  const { media, context, socket, blocks, rate } = live;
  live = null;
  for (const track of media.getTracks()) track.stop();
  context.close();
  if (socket.readyState === WebSocket.OPEN) {
    socket.send(JSON.stringify({ type: "input_audio_buffer.commit" }));
    setTimeout(() => socket.close(), 5000); // the last segment is still to come
  }
  if (blocks.length) hold(wav(blocks, rate));
  find("microphone").textContent = "Start the microphone";
  find("microphone").setAttribute("aria-pressed", "false");
  say(why);
}

function clock(seconds, mark) {
  const all = Math.round(1000 * seconds);
  const two = (value) => String(Math.floor(value)).padStart(2, "0");
  const rest = String(all % 1000).padStart(3, "0");
  return `${two(all / 3600000)}:${two((all / 60000) % 60)}:${two((all / 1000) % 60)}${mark}${rest}`;
}

function written(format) {
  const spoken = segments.filter((one) => one.text);
  const times = (one, mark) => `${clock(one.start, mark)} --> ${clock(one.end, mark)}`;
  const safe = (text) => text.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
  if (format === "txt") return spoken.map((one) => `${one.text}\n`).join("");
  if (format === "json") return `${JSON.stringify({ text: spoken.map((one) => one.text).join(" "), segments })}\n`;
  if (format === "vtt") return `WEBVTT\n${spoken.map((one) => `\n${times(one, ".")}\n${safe(one.text)}\n`).join("")}`;
  return spoken.map((one, n) => `${n + 1}\n${times(one, ",")}\n${one.text.replace(/-{2,}>/g, "->")}\n`).join("\n");
}

for (const button of document.querySelectorAll("[data-format]")) {
  button.addEventListener("click", () => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([written(button.dataset.format)], { type: "text/plain" }));
    link.download = `transcript.${button.dataset.format}`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  });
}
find("file").addEventListener("change", () => { if (find("file").files[0]) transcribe(find("file").files[0]); });
find("microphone").addEventListener("click", () => (live ? stopMicrophone() : startMicrophone()));
for (const kind of ["dragover", "dragleave", "drop"]) {
  document.addEventListener(kind, (event) => { // anywhere: the browser would leave the page for the file
    event.preventDefault();
    find("drop").classList.toggle("over", kind === "dragover");
    if (kind === "drop" && event.dataTransfer.files[0]) transcribe(event.dataTransfer.files[0]);
  });
}
