// Runs the study's page without a browser: as much of a document as its script touches.
"use strict";
const [, , base, favourite] = process.argv;

(async () => {
  const html = await (await fetch(base + "/")).text();
  const scripts = [...html.matchAll(/<script[^>]*>([\s\S]*?)<\/script>/g)].map(m => m[1]);
  const elements = {};
  const element = id => elements[id] ??= {
    id, hidden: id === "ask" || id === "end", video: { src: "" },
    querySelector() { return this.video; },
  };
  element("study").textContent = scripts[0];
  let now = 0;
  const body = { dataset: {} };
  const page = {
    document: { getElementById: element, body },
    location: { protocol: "http:" },
    performance: { now: () => (now += 1000) },
    addEventListener() {},
    fetch: (path, options) => fetch(`${base}/${path}`, options),
  };
  new Function(...Object.keys(page), scripts[1])(...Object.values(page));
  element("begin").onclick();
  while (!element("ask").hidden) {  // a rater who always prefers one method
    const sides = [];
    for (const side of ["left", "right"]) {
      const film = await (await fetch(`${base}/${element(side).video.src}`)).text();
      sides.push(film.startsWith(favourite + " "));
    }
    element(sides[0] ? "left" : "right").onclick();
  }
  while (body.dataset.done === undefined) await new Promise(wake => setTimeout(wake, 10));
  console.log(JSON.stringify({ done: body.dataset.done, kept: element("kept").textContent }));
})();
