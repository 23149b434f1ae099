// The web's own Request goes in, its Response comes out. Save, and the next call is answered by what you saved.

export default {
  async fetch(request) {
    const { pathname, searchParams } = new URL(request.url);
    switch (`${request.method} ${pathname}`) {
      case "GET /":
        return Response.json({
          message: "Hello from {{name}}! Change this line in index.js, save, and call again.",
          try: "roll?dice=3d6",
        });
      case "GET /health":
        return Response.json({ status: "ok" });
      case "GET /roll":
        return roll(searchParams.get("dice") ?? "1d6");
      case "POST /pick":
        return pick(await request.text());
      default:
        return Response.json({ error: `There is nothing at ${request.method} ${pathname}` }, { status: 404 });
    }
  },
};

/** `2d6` rolls two dice of six sides. */
function roll(dice) {
  const [, count, sides] = /^(\d{0,3})d(\d{1,4})$/.exec(dice)?.map((part) => Number(part || 1)) ?? [];
  if (!(count >= 1 && sides >= 2)) {
    return Response.json({ error: `${dice} are no dice: try 2d6` }, { status: 400 });
  }
  const rolls = Array.from({ length: count }, () => 1 + Math.floor(Math.random() * sides));
  return Response.json({ dice, rolls, total: rolls.reduce((sum, one) => sum + one) });
}

/** One line of many. */
function pick(text) {
  const choices = text.split(/[\n,]/).map((choice) => choice.trim()).filter(Boolean);
  if (choices.length === 0) {
    return Response.json({ error: "Send the choices, one a line" }, { status: 400 });
  }
  return Response.json({ picked: choices[Math.floor(Math.random() * choices.length)] });
}
