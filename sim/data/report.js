"use strict";
// The dialogue browser. Every text of a dialogue reaches the page through textContent, never as markup.
(function () {
  const data = JSON.parse(document.getElementById("data").textContent);
  const app = document.getElementById("app");
  const state = { left: data.left, right: data.right, search: "", persona: "", leak: false, failed: false, order: "run", at: 0, id: "", turn: null };
  const LISTED = 400;
  let cases = [];
  let box = {};

  function el(tag, attributes, ...children) {
    const node = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes || {})) {
      if (value === false || value === null || value === undefined) continue;
      if (name === "text") node.textContent = value;
      else if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
      else node.setAttribute(name, value === true ? "" : value);
    }
    for (const child of children.flat()) if (child) node.append(child);
    return node;
  }
  const show = (value, digits) => (value === null || value === undefined ? "–" : value.toFixed(digits).replace("-", "−"));
  const signed = (value, digits) => (value !== null && value !== undefined && value > 0 ? "+" : "") + show(value, digits);
  const words = (dialogue) =>
    [dialogue.id, dialogue.student, dialogue.item, dialogue.persona, dialogue.strategy, dialogue.failure ? dialogue.failure.join(" ") : "",
      (data.items[dialogue.item] || { concept: "" }).concept, ...dialogue.turns.map((turn) => turn.text)].join("\n").toLowerCase();

  // One case per student; a student met twice in one column keeps both meetings.
  function allCases() {
    const found = new Map();
    const met = new Map();
    for (const dialogue of data.dialogues) {
      const side = dialogue.column === state.left ? "left" : dialogue.column === state.right ? "right" : "";
      if (!side) continue;
      const seat = JSON.stringify([dialogue.student, side]);
      const count = met.get(seat) || 0;
      met.set(seat, count + 1);
      const key = JSON.stringify([dialogue.student, count]);
      if (!found.has(key)) found.set(key, { left: null, right: null });
      found.get(key)[side] = dialogue;
    }
    return [...found.values()];
  }
  const both = (entry) => [entry.left, entry.right].filter(Boolean);
  const change = (entry) => {
    const [left, right] = [entry.left, entry.right].map((d) => (d && d.reward !== null ? d.reward : null));
    return left !== null && right !== null ? right - left : null;
  };
  function matches(entry) {
    const sides = both(entry);
    if (state.persona && !sides.some((d) => d.persona === state.persona)) return false;
    if (state.leak && !sides.some((d) => d.leaks.length)) return false;
    if (state.failed && !sides.some((d) => d.failure)) return false;
    return !state.search || sides.some((d) => (d.words = d.words || words(d)).includes(state.search));
  }
  function arrange() {
    cases = allCases().filter(matches);
    if (state.order !== "run") {
      const sign = state.order === "rise" ? -1 : 1;
      const rank = (entry) => (change(entry) === null ? Infinity : sign * change(entry));
      cases.sort((a, b) => (rank(a) < rank(b) ? -1 : rank(a) > rank(b) ? 1 : 0));
    }
    const kept = cases.findIndex((entry) => both(entry).some((d) => d.id === state.id));
    state.at = kept >= 0 ? kept : 0;
    draw();
  }
  function go(step) {
    if (!cases.length) return;
    state.at = Math.max(0, Math.min(cases.length - 1, state.at + step));
    state.turn = null;
    draw();
  }

  function drawList() {
    const start = Math.max(0, Math.min(state.at - LISTED / 2, cases.length - LISTED));
    const rows = cases.slice(start, start + LISTED).map((entry, offset) => {
      const first = both(entry)[0];
      const index = start + offset;
      const rewards = entry.left && entry.right ? show(entry.left.reward, 2) + " → " + show(entry.right.reward, 2) : show(first.reward, 2);
      const flags = [both(entry).some((d) => d.leaks.length) ? "leak" : "", both(entry).some((d) => d.failure) ? "failed" : ""].filter(Boolean);
      return el("button", { type: "button", "aria-current": index === state.at ? "true" : null, onclick: () => { state.turn = null; state.at = index; draw(); } },
        el("span", { text: first.item.split("/").pop() + ", " + first.persona }),
        el("small", { text: "reward " + rewards + (flags.length ? ", " + flags.join(", ") : "") }));
    });
    box.list.replaceChildren(...(rows.length ? rows : [el("p", { text: "No dialogue matches." })]));
    if (cases.length > LISTED) box.list.append(el("p", { text: "Listed: " + (start + 1) + " to " + (start + rows.length) + " of " + cases.length + ". Search or filter to narrow." }));
    const current = box.list.querySelector("[aria-current]");
    if (current) box.list.scrollTop = Math.max(0, current.offsetTop - box.list.clientHeight / 2);
    box.count.textContent = cases.length ? (state.at + 1) + " of " + cases.length : "0";
  }

  function badge(kind, text) { return el("span", { class: "badge " + kind, text: text }); }
  function drawCandidates(turn) {
    const rows = turn.candidates.map(([text, reward, question, leak], index) => {
      const said = index === turn.chosen;
      const facts = ["reward " + show(reward, 2), question ? "question" : "", leak ? "leak " + show(leak, 2) : "", said ? "said" : ""].filter(Boolean);
      return el("li", { class: said ? "said-one" : null }, el("span", { dir: "auto", text: said ? turn.text : text === null ? "(text not kept here)" : text }), el("small", { text: facts.join(", ") }));
    });
    return el("details", {}, el("summary", { text: turn.candidates.length + " candidates" }), el("ol", {}, rows));
  }
  function drawTurn(turn, dialogue) {
    const leaks = dialogue.leaks.filter((leak) => leak[0] === turn.index);
    const classes = ["turn", turn.role === "tutor" ? "tutor" : "student", leaks.length ? "leaks" : "", state.turn === turn.index && state.id === dialogue.id ? "target" : ""];
    const who = el("div", { class: "who" }, el("span", { text: turn.role === "tutor" ? "Tutor" : "Student" }), turn.question ? badge("question", "question") : null,
      leaks.map((leak) => badge("leak", "leak: " + leak[1] + " " + show(leak[2], 2))), turn.policy ? badge("", turn.policy) : null, turn.cut ? badge("", "cut at the token limit") : null);
    return el("div", { class: classes.filter(Boolean).join(" ") }, who, el("p", { class: "said", dir: "auto", text: turn.text || "(nothing)" }), turn.candidates ? drawCandidates(turn) : null);
  }
  function drawProbe(title, before, after, question, held) {
    if (!before && !after) return null;
    const [some] = [after || before];
    const rows = some[2].map((_, index) => {
      const right = index === some[3];
      const text = question && question.options[index] ? question.options[index][0] : "Option " + (index + 1);
      const marks = (right ? " ✓ right" : "") + (index === held ? " (held at the start)" : "");
      const bars = [[before, ""], [after, " now"]].filter(([probe]) => probe).map(([probe, kind]) =>
        [el("span", { class: "bar" + kind }, el("i", { style: "width:" + 100 * (probe[2][index] || 0) + "%" })), el("span", { text: show(probe[2][index], 3) })]);
      return el("div", { class: "option" + (right ? " right" : "") }, el("span", { class: "name", dir: "auto", text: text + marks }), el("div", { class: "bars" }, bars.flat()));
    });
    const key = before && after ? "Pale bar: before the dialogue. Full bar: after it." : before ? "Before the dialogue." : "After the dialogue.";
    return el("div", { class: "probe" }, el("h4", { text: title }), el("p", { class: "key", text: key }), rows);
  }
  function drawSide(column, dialogue) {
    const head = el("h3", { text: data.columns[column] });
    if (!dialogue) return el("div", { class: "side" }, head, el("p", { class: "note", text: "This student has no dialogue here." }));
    const last = (kind) => dialogue.probes.filter((probe) => probe[0] === kind).pop();
    const item = data.items[dialogue.item];
    const stats = ["reward " + show(dialogue.reward, 3), "gain " + signed(dialogue.gain, 4), "transfer " + signed(dialogue.transfer, 4),
      dialogue.leaks.length + (dialogue.leaks.length === 1 ? " leak" : " leaks"), show(dialogue.seconds, 1) + " s", dialogue.tokens[1] + " tokens written", dialogue.policy].filter(Boolean).map((part) => part.replaceAll(" ", "\u00a0")).join(" · ");
    const parts = Object.entries(dialogue.parts).map(([name, value]) => name.replace("_", " ") + " " + signed(value, 3)).join(", ");
    const turnwise = dialogue.probes.filter((probe) => probe[0] === "turn").map((probe) => show(probe[2][probe[3]], 3));
    const failure = dialogue.failure ? el("div", { class: "failure" }, badge("failed", "failed"), " ", el("b", { text: dialogue.failure[0] }), el("span", { text: " in " + dialogue.failure[1] }), el("p", { dir: "auto", text: dialogue.failure[2] })) : null;
    const verdicts = dialogue.verdicts.length ? el("details", {}, el("summary", { text: "Verdicts (" + dialogue.verdicts.length + ")" }),
      el("ul", {}, dialogue.verdicts.map((v) => el("li", { text: v[0] + ", " + v[1] + ": " + v[2] + (v[3] === null ? "" : " " + show(v[3], 2)) + (v[4] === null ? "" : ", turn " + v[4]) })))) : null;
    return el("div", { class: "side", "data-id": dialogue.id }, head, el("p", { class: "stats", text: stats }), failure,
      dialogue.turns.map((turn) => drawTurn(turn, dialogue)),
      parts ? el("p", { class: "stats", text: "Reward: " + parts }) : null,
      drawProbe("Belief on the question", last("before"), last("after"), item && item.question, dialogue.held),
      turnwise.length ? el("p", { class: "stats", text: "P(right) after each tutor turn: " + turnwise.join(" → ") }) : null,
      drawProbe("Belief on the transfer question", last("transfer_before"), last("transfer"), item && item.transfer, -1), verdicts);
  }
  function drawCase() {
    const entry = cases[state.at];
    if (!entry) { box.view.replaceChildren(el("p", { class: "lead", text: "Nothing to show with these filters." })); return; }
    const first = both(entry)[0];
    if (!both(entry).some((d) => d.id === state.id)) state.id = first.id;
    const item = data.items[first.item];
    const held = item && item.question.options[first.held];
    const asked = el("div", { class: "asked" }, el("p", { class: "q", dir: "auto", text: item ? item.question.text : "Item " + first.item }),
      el("p", { class: "held", text: "Student: " + first.persona + ", item " + first.item + ", repeat " + first.repeat + (held ? ". Holds at the start: " + (held[1] || held[0]) : "") }));
    const sides = [drawSide(state.left, entry.left), state.right >= 0 ? drawSide(state.right, entry.right) : null];
    box.view.replaceChildren(asked, el("div", { class: "sides" }, sides));
  }
  function draw() { drawCase(); drawList(); }

  function choose(label, options, value, then) {
    const select = el("select", { onchange: () => then(select.value) }, options.map(([key, text]) => el("option", { value: key, text: text })));
    select.value = String(value);
    return { select: select, node: el("label", {}, el("span", { text: label }), select) };
  }
  function tick(label, name) {
    const input = el("input", { type: "checkbox", onchange: () => { state[name] = input.checked; arrange(); } });
    return { input: input, node: el("label", { class: "tick" }, input, el("span", { text: label })) };
  }
  function build() {
    const columns = data.columns.map((label, index) => [index, label]);
    const personas = [...new Set(data.dialogues.map((d) => d.persona))].sort();
    box.search = el("input", { type: "search", id: "search", placeholder: "words, item, id", oninput: () => { state.search = box.search.value.trim().toLowerCase(); arrange(); } });
    box.left = choose("Left", columns, state.left, (value) => { state.left = Number(value); if (state.right === state.left) { state.right = -1; box.right.select.value = "-1"; } arrange(); });
    box.right = choose("Right", [[-1, "(nothing)"], ...columns], state.right, (value) => { state.right = Number(value) === state.left ? -1 : Number(value); box.right.select.value = String(state.right); arrange(); });
    box.persona = choose("Persona", [["", "all"], ...personas.map((name) => [name, name])], "", (value) => { state.persona = value; arrange(); });
    box.order = choose("Order", [["run", "as run"], ["rise", "largest rise in reward"], ["fall", "largest fall in reward"]], "run", (value) => { state.order = value; arrange(); });
    box.leak = tick("with a leak", "leak");
    box.failed = tick("failed", "failed");
    box.count = el("span", { role: "status" });
    box.list = el("div", { class: "list", "aria-label": "Students" });
    box.view = el("div", { id: "view", "aria-live": "polite" });
    app.append(el("div", { class: "controls" }, el("label", {}, el("span", { text: "Search" }), box.search), box.left.node, box.right.node, box.persona.node, box.order.node, box.leak.node, box.failed.node,
      el("button", { type: "button", id: "previous", onclick: () => go(-1), text: "← previous" }), el("button", { type: "button", id: "next", onclick: () => go(1), text: "next →" })),
      el("p", { class: "note" }, box.count, el("span", { text: " · arrow keys ← → walk through the students" })), el("div", { class: "desk" }, box.list, box.view));
    app.hidden = false;
  }
  // #d=<dialogue>&t=<turn>, as the leak ledger links
  function follow() {
    if (!location.hash.startsWith("#d=")) return;
    const wanted = new URLSearchParams(location.hash.slice(1));
    const dialogue = data.dialogues.find((d) => d.id === wanted.get("d"));
    if (!dialogue) return;
    if (dialogue.column !== state.left && dialogue.column !== state.right) { state.left = dialogue.column; state.right = -1; }
    Object.assign(state, { search: "", persona: "", leak: false, failed: false, id: dialogue.id, turn: wanted.has("t") ? Number(wanted.get("t")) : null });
    box.search.value = ""; box.persona.select.value = ""; box.leak.input.checked = box.failed.input.checked = false;
    box.left.select.value = String(state.left); box.right.select.value = String(state.right);
    arrange();
    (box.view.querySelector(".target") || box.view).scrollIntoView({ block: "center" });
  }
  addEventListener("keydown", (event) => {
    if (event.altKey || event.ctrlKey || event.metaKey || /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName)) return;
    if (event.key === "ArrowLeft" || event.key === "ArrowRight") { event.preventDefault(); go(event.key === "ArrowLeft" ? -1 : 1); }
  });
  addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((node) => { node.open = true; }));
  addEventListener("hashchange", follow);
  if (!data.dialogues.length) { app.hidden = false; app.append(el("p", { class: "lead", text: "This run has no dialogues." })); return; }
  build();
  arrange();
  follow();
})();
