"use strict";
// The order and the sides of each rater's pairs, and the answers as lines of CSV.

const COLUMNS = ["rater", "pair", "left", "right", "chosen", "again", "seconds"];

function shuffled(items, random) {
  const list = [...items];
  for (let i = list.length - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1));
    [list[i], list[j]] = [list[j], list[i]];
  }
  return list;
}

// A rater sees every pair once, half of them with sides swapped; then some again, swapped once more.
function questions(study, random) {
  const order = shuffled(study.pairs, random);
  const swaps = shuffled(order.map((_, i) => i % 2 === 1), random);
  const once = order.map((pair, i) => swaps[i]
    ? { ...pair, left: pair.right, right: pair.left, again: 0 } : { ...pair, again: 0 });
  const repeated = shuffled(once, random).slice(0, study.repeats);
  return [...once, ...repeated.map(q => ({ ...q, left: q.right, right: q.left, again: 1 }))];
}

function csv(answers) {
  const lines = answers.map(a => COLUMNS.map(c => a[c]).join(","));
  return [COLUMNS.join(","), ...lines, ""].join("\n");
}

if (typeof document !== "undefined") {
  const show = id => document.getElementById(id);
  const study = JSON.parse(show("study").textContent);
  const rater = [...crypto.getRandomValues(new Uint8Array(8))]
    .map(b => b.toString(16).padStart(2, "0")).join("");
  const asked = questions(study, Math.random), answers = [];
  let shown = 0, posting = Promise.resolve(), lost = 0;
  show("count").textContent = asked.length;
  show("question").textContent = study.question;
  show("progress").max = asked.length;

  function next() {
    const question = asked[answers.length];
    show("progress").value = answers.length;
    if (!question) return finish();
    show("prompt").textContent = question.prompt;
    for (const side of ["left", "right"])
      show(side).querySelector("video").src = `films/${question[side]}.mp4`;
    shown = performance.now();
  }

  function choose(side) {
    const question = asked[answers.length];
    if (!question || show("ask").hidden || performance.now() - shown < 300) return;
    const { pair, left, right, again } = question;
    const seconds = ((performance.now() - shown) / 1000).toFixed(2);
    const answer = { rater, pair, left, right, chosen: question[side], again, seconds };
    answers.push(answer);
    if (location.protocol !== "file:") {
      const body = JSON.stringify(answer);
      posting = posting.then(() => fetch("answers", { method: "POST", body }))
        .then(reply => { if (!reply.ok) lost++; }).catch(() => { lost++; });
    }
    next();
  }

  async function finish() {
    show("ask").hidden = true;
    show("end").hidden = false;
    show("save").href = URL.createObjectURL(new Blob([csv(answers)], { type: "text/csv" }));
    await posting;
    show("kept").textContent = location.protocol === "file:" || lost
      ? "Please save the file and send it to whoever asked you." : "Your answers were received.";
    document.body.dataset.done = answers.length;
  }

  show("begin").onclick = () => { show("start").hidden = true; show("ask").hidden = false; next(); };
  for (const side of ["left", "right"]) show(side).onclick = () => choose(side);
  addEventListener("keydown", event => {
    if (event.key === "ArrowLeft") choose("left");
    if (event.key === "ArrowRight") choose("right");
  });
} else {
  module.exports = { questions, csv };
}
