// An Express app is exported, never listens by itself. Save, and the next call is answered by what you saved.

import express from "express";

const app = express();
app.use(express.json());

// Kept in memory: every save starts over with these.
const notes = [
  { id: 1, text: "Water the plants", done: false },
  { id: 2, text: "Read one page", done: true },
];

app.get("/", (request, response) => {
  response.json({
    message: "Hello from {{name}}! Change this line in index.js, save, and call again.",
    try: "notes",
  });
});

app.get("/health", (request, response) => {
  response.json({ status: "ok" });
});

app.get("/notes", (request, response) => {
  const { done } = request.query;
  response.json(done === undefined ? notes : notes.filter((note) => note.done === (done === "true")));
});

app.post("/notes", (request, response) => {
  const text = request.body?.text;
  if (typeof text !== "string" || text.trim() === "") {
    return response.status(400).json({ error: 'Send {"text": "…"}' });
  }
  const note = { id: notes.length + 1, text: text.trim(), done: false };
  notes.push(note);
  return response.status(201).json(note);
});

app.patch("/notes/:id", (request, response) => {
  const note = notes.find((one) => one.id === Number(request.params.id));
  if (!note) {
    return response.status(404).json({ error: `There is no note ${request.params.id}` });
  }
  note.done = request.body?.done === true;
  return response.json(note);
});

export default app;
