"use strict";
// textual.js opens the terminal when the page has loaded. Here: what has to be there before, and what comes after its end.

const HOME = "/-/";
const element = id => document.getElementById(id);

const openTerminal = window.onload;
window.onload = async () => {
  history.replaceState(null, "", HOME); // the link is used
  element("terminal").dataset.sessionWebsocketUrl = `ws://${location.host}${HOME}terminal`;
  element("again").onclick = () => location.assign(HOME);
  new MutationObserver(follow).observe(document.body, { attributes: true, attributeFilter: ["class"] });
  window.addEventListener("focus", focusTerminal);
  // It measures its cells as it opens. A font that does not come keeps nobody out.
  const faces = ["15px", "bold 15px", "italic 15px"].map(face => document.fonts.load(`${face} "Roboto Mono"`));
  await Promise.allSettled(faces);
  openTerminal();
};

// textual.js tells in the classes of the body how far it is.
function follow() {
  const classes = document.body.classList;
  if (classes.contains("-closed")) tellEnd();
  else if (classes.contains("-loaded")) focusTerminal();
}

function focusTerminal() {
  if (element("ended").hidden) document.querySelector(".xterm-helper-textarea")?.focus();
}

async function tellEnd() {
  if (!element("ended").hidden) return;
  const [why, next] = await reason();
  element("why").textContent = why;
  element("next").textContent = next;
  element("ended").hidden = false;
  element("again").focus();
}

// The browser does not say why a WebSocket was refused or closed: the page is asked for once more.
async function reason() {
  try {
    const answer = await fetch(HOME, { headers: { accept: "application/problem+json" } });
    if (answer.ok) return ["The terminal UI has ended.", "The server and your APIs run on."];
    const problem = await answer.json();
    return [`${problem.detail}.`, problem.hint];
  } catch {
    return ["apimarket web has ended.", "Start it again in a terminal: apimarket web"];
  }
}
